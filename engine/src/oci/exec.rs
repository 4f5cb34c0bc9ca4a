//! A further process in a running container.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Process as ProcessSpec;

use super::{Container, Error, Status, bundle, console, pid_file};
use crate::runtime::cgroup::CgroupPath;
use crate::runtime::{self, Console, Exec, ExecOptions, Process, StateOf, Stdio, Target, seccomp};

/// How a further process is to be made.
#[derive(Debug, Default)]
pub struct ExecRequest {
    /// The process itself.
    pub process: ProcessSpec,
    /// Where its terminal goes to.
    pub console_socket: Option<PathBuf>,
    /// Where its process id is written to.
    pub pid_file: Option<PathBuf>,
    /// How many of the caller's descriptors it gets besides the streams.
    pub preserve_fds: u16,
    /// Whether it is made in a paused container too, where it only begins when that is resumed.
    pub paused: Paused,
    /// A group below the container's own to be made in.
    pub subgroup: Option<String>,
}

/// Whether a paused container gets further processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Paused {
    /// No.
    #[default]
    Refused,
    /// Yes.
    Allowed,
}

/// Reads a process from a file (`process.json`).
///
/// # Errors
/// [`Error::Io`], [`Error::Json`].
pub fn read_process(path: &Path) -> Result<ProcessSpec, Error> {
    bundle::parse(&bundle::read_bounded(path)?, path)
}

impl Container {
    /// The process of its configuration, which further ones resemble.
    ///
    /// # Errors
    /// [`Error::Json`] when somebody broke the file.
    pub fn process(&self) -> Result<ProcessSpec, Error> {
        let process = self.spec()?.process().clone();
        process.ok_or(Error::Use("`process` is missing in config.json"))
    }

    /// Starts a further process, as a child of this one. What comes with it is its terminal, if it
    /// has one that nobody else was given.
    ///
    /// # Errors
    /// [`Error::Status`]; [`Error::Runtime`] when it cannot be started.
    pub fn exec(&self, request: &ExecRequest) -> Result<(Process, Option<OwnedFd>), Error> {
        match (self.status(), request.paused) {
            (Status::Running, _) | (Status::Paused, Paused::Allowed) => {}
            (Status::Paused, Paused::Refused) => {
                return Err(self.refuse("exec in", "resume it first"));
            }
            (Status::Creating | Status::Created | Status::Stopped, _) => {
                return Err(self.refuse("exec in", "start it first"));
            }
        }
        let terminal = request.process.terminal() == Some(true);
        if request.console_socket.is_some() && !terminal {
            return Err(Error::Use(
                "--console-socket is for a terminal: give --tty too, or leave it out",
            ));
        }
        let spec = self.spec()?;
        let profile = spec.linux().as_ref();
        let profile = profile.and_then(|linux| linux.seccomp().as_ref());
        let filter = profile.map(seccomp::compile).transpose();
        let filter = filter.map_err(runtime::Error::from)?.flatten();
        let recorded = self.record.process.as_ref();
        let first = recorded.ok_or_else(|| self.refuse("exec in", "start it first"))?;
        let state = |status: &'static str, _| self.record.hook_state(status, Some(first.pid));
        let cgroup = self.group_below(request.subgroup.as_deref())?;
        let mut process = runtime::exec_with(
            Exec {
                target: Target {
                    pid: first.pid,
                    start: first.start,
                },
                process: &request.process,
                filter,
                cgroup: cgroup.as_ref(),
                stdio: Stdio::Inherit,
                console: if terminal {
                    Console::Pty {
                        size: console::size(&request.process),
                    }
                } else {
                    Console::None
                },
            },
            &ExecOptions {
                preserved_fds: request.preserve_fds,
                notify: profile.map(|profile| (profile, &state as StateOf<'_>)),
            },
        )?;
        let mut master = process.take_console();
        let given = give_away(request, &process, &mut master);
        if given.is_err() {
            // The first error is what matters.
            let _killed = process.kill(nix::sys::signal::Signal::SIGKILL);
            let _reaped = process.wait();
        }
        given.map(|()| (process, master))
    }

    fn group_below(&self, below: Option<&str>) -> Result<Option<CgroupPath>, Error> {
        match (self.cgroup(), below) {
            (Some(own), Some(below)) => {
                let path = format!("{}/{}", own.as_str(), below.trim_matches('/'));
                Ok(Some(CgroupPath::parse(&path)?))
            }
            (own, _) => Ok(own),
        }
    }
}

/// Hands over what the caller asked for.
fn give_away(
    request: &ExecRequest,
    process: &Process,
    master: &mut Option<OwnedFd>,
) -> Result<(), Error> {
    if let Some(socket) = &request.console_socket {
        if let Some(master) = master.take() {
            console::send(&master, socket)?;
        }
    }
    match &request.pid_file {
        Some(path) => pid_file::write(path, process.pid()),
        None => Ok(()),
    }
}
