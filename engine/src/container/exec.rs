//! A further process in a running container.

use std::fs::File;
use std::os::fd::AsFd as _;

use super::config::{HostConfig, ProcessConfig, apply_env};
use super::options::EnvVar;
use super::spec::Presence;
use super::stdio::{self, Attach, Logging, RawTerminal, Wishes};
use super::supervise::{PassOn, Supervision, hold_signals};
use super::{Container, Error, Phase, facts, spec};
use crate::runtime::{self, Exec, ExitStatus, Target};

/// What to run.
#[derive(Debug)]
pub struct ExecRequest {
    /// The command; not empty.
    pub args: Vec<String>,
    /// Variables laid over the container's.
    pub env: Vec<EnvVar>,
    /// `None`: the container's.
    pub working_dir: Option<String>,
    /// `None`: the container's.
    pub user: Option<String>,
    /// With a terminal.
    pub tty: bool,
    /// With our standard input.
    pub open_stdin: bool,
    /// All capabilities and no filter.
    pub privileged: bool,
}

impl Container {
    /// Runs a command in the container and waits for its end, passing on streams and signals.
    ///
    /// # Errors
    /// [`Error::NotRunning`]; [`Error::Runtime`] when the command cannot be started.
    pub fn exec(&self, request: ExecRequest) -> Result<ExitStatus, Error> {
        let wishes = Wishes {
            tty: request.tty,
            open_stdin: request.open_stdin,
            attach: Attach::Foreground,
            logging: Logging::Off,
        };
        let (process, mut ends) = self.start_exec(request, wishes)?;
        let pid = process.pid();
        let lost = |source| Error::Process {
            action: "wait for",
            pid,
            source,
        };
        let raw = match (wishes.tty, wishes.open_stdin) {
            (true, true) => RawTerminal::enter().map_err(lost)?,
            _ => None,
        };
        let input = ends.input(wishes).map_err(lost)?;
        let supervision = Supervision {
            pid,
            outputs: ends.outputs(),
            input,
            log: None,
            pass_on: PassOn::Yes,
            console: ends.console(),
        };
        let status = supervision.wait().map_err(lost);
        drop(raw);
        status
    }

    /// Starts a command in the container and leaves it alone: nobody sees what it says.
    ///
    /// # Errors
    /// As [`exec`](Self::exec).
    pub fn exec_detached(&self, request: ExecRequest) -> Result<(), Error> {
        let wishes = Wishes {
            tty: false,
            open_stdin: false,
            attach: Attach::Detached,
            logging: Logging::Off,
        };
        self.start_exec(request, wishes).map(drop)
    }

    fn start_exec(
        &self,
        request: ExecRequest,
        wishes: Wishes,
    ) -> Result<(runtime::Process, stdio::Ends), Error> {
        let target = self.process()?;
        if self.phase() == Phase::Paused {
            return Err(Error::Paused(self.name().clone()));
        }
        let root = format!("/proc/{}/root", target.pid);
        let root = File::open(&root).map_err(Error::io("open", root))?;
        let config = self.config();
        let mut process = ProcessConfig {
            entrypoint: Vec::new(),
            cmd: request.args,
            tty: request.tty,
            ..config.process.clone()
        };
        apply_env(&mut process.env, request.env, |name| {
            std::env::var(name).ok()
        });
        process.working_dir = request.working_dir.unwrap_or(process.working_dir);
        process.user = request.user.unwrap_or(process.user);
        let host = HostConfig {
            privileged: config.host.privileged || request.privileged,
            ..config.host.clone()
        };
        let capabilities = facts::capabilities(&host)?;
        let filter = if host.privileged {
            None
        } else {
            facts::filter(config, &capabilities)?
        };
        let identity = facts::identity(root.as_fd(), &process.user)?;
        let process =
            spec::process(&process, &host, &identity, &capabilities).map_err(Error::Spec)?;
        let (stdio, console, mut ends) =
            stdio::plan(wishes, &identity).map_err(Error::io("open", "the standard streams"))?;
        let cgroup = match facts::cgroups(config) {
            Presence::Present => Some(self.cgroup()?),
            Presence::Absent => None,
        };
        hold_signals();
        let mut started = runtime::exec(Exec {
            target: Target {
                pid: target.pid,
                start: target.start,
            },
            process: &process,
            filter,
            cgroup: cgroup.as_ref(),
            stdio,
            console,
        })?;
        ends.take_console(&mut started);
        Ok((started, ends))
    }
}
