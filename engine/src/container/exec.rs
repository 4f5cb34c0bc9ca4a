//! A further process in a running container.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use super::attach::clients::Clients;
use super::attach::session::{Session, own_size};
use super::attach::socket::Connection;
use super::attach::{DetachKeys, Interaction, Left, SigProxy, TakeInput};
use super::config::{HostConfig, ProcessConfig, apply_env};
use super::id::ContainerId;
use super::monitor::Refusal;
use super::options::EnvVar;
use super::spec::Presence;
use super::start::chain;
use super::stdio::{self, Attach, Ends, Logging, Wishes};
use super::supervise::{Input, PassOn, Source, Supervision, hold_signals};
use super::{Container, Error, facts, spec};
use crate::runtime::{self, Exec, Target};
use crate::sys::clone::{self, Side};
use crate::sys::fds;

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

/// A command that runs in a container.
#[derive(Debug)]
pub(super) struct Execution {
    /// Names it in events.
    id: ContainerId,
    pub(super) process: runtime::Process,
    pub(super) ends: Ends,
}

impl Container {
    /// Runs a command in the container and waits for its end, passing on streams and signals. At a
    /// terminal, the detach keys leave it running.
    ///
    /// # Errors
    /// [`Error::NotRunning`]; [`Error::Runtime`] when the command cannot be started.
    pub fn exec(&self, request: ExecRequest, keys: DetachKeys) -> Result<Left, Error> {
        if request.tty && request.open_stdin {
            return self.exec_at_terminal(request, keys);
        }
        let wishes = Wishes {
            tty: request.tty,
            open_stdin: request.open_stdin,
            attach: Attach::Foreground,
            logging: Logging::Off,
            size: own_size().ok(),
            restarts: 0,
        };
        let mut execution = self.start_exec(request, wishes)?;
        let lost = lost(execution.process.pid());
        let input = execution.ends.input(wishes).map_err(&lost)?;
        let supervision = Supervision {
            pid: execution.process.pid(),
            outputs: execution.ends.outputs(),
            input,
            log: None,
            pass_on: PassOn::Yes,
            console: execution.ends.console(),
            clients: Clients::default(),
            health: None,
        };
        let (status, _) = supervision.wait().map_err(lost)?;
        self.tell_exec_end(&execution, status.code());
        Ok(Left::Exited(status.code()))
    }

    /// Leaves the command to a copy of this process, which holds its terminal whoever leaves, and
    /// takes part as others do in a container.
    fn exec_at_terminal(&self, request: ExecRequest, keys: DetachKeys) -> Result<Left, Error> {
        // What is wrong with the container is told here, where it has an exit code of its own.
        self.not_paused()?;
        let pid = self.process()?.pid;
        let pair = Connection::pair();
        let (ours, theirs) = pair.map_err(Error::io("make a socket for", self.folder()))?;
        let wishes = Wishes {
            tty: true,
            open_stdin: true,
            attach: Attach::Detached,
            logging: Logging::Off,
            size: own_size().ok(),
            restarts: 0,
        };
        hold_signals();
        // This process has no other thread.
        match clone::clone(clone::Request::default()) {
            Ok(Side::Child) => {
                self.hold_exec(request, wishes, theirs);
                clone::exit_now(0)
            }
            Ok(Side::Parent { .. }) => {
                drop(theirs);
                let session = Session {
                    connection: ours,
                    interaction: Interaction {
                        keys,
                        input: TakeInput::Yes,
                        signals: SigProxy::No,
                    },
                    tty: true,
                    send: &|_| {},
                };
                session.run()
            }
            Err(errno) => Err(lost(pid)(errno.into())),
        }
    }

    /// Runs a command for somebody at the other end of a connection, who is told all, errors too.
    fn hold_exec(&self, request: ExecRequest, wishes: Wishes, client: Connection) {
        let mut clients = Clients::new(None, Some(client));
        let result = leave_caller(&clients).and_then(|()| self.start_exec(request, wishes));
        let result = result.and_then(|execution| {
            let (pid, ends) = (execution.process.pid(), &execution.ends);
            let lost = lost(pid);
            let input = ends.console().map(|console| {
                let console = console.try_clone_to_owned()?;
                Ok(Input::new(console, Source::EveryClient))
            });
            let supervision = Supervision {
                pid,
                outputs: ends.outputs(),
                input: input.transpose().map_err(&lost)?,
                log: None,
                pass_on: PassOn::No,
                console: ends.console(),
                clients: std::mem::take(&mut clients),
                health: None,
            };
            let (status, rest) = supervision.wait().map_err(lost)?;
            clients = rest;
            self.tell_exec_end(&execution, status.code());
            Ok(status.code())
        });
        match result {
            Ok(code) => clients.dismiss(code),
            Err(error) => clients.refuse(Refusal {
                code: error.exit_code(),
                message: chain(&error, "\n  because: "),
            }),
        }
    }

    /// Starts a command in the container and leaves it alone: nobody sees what it says.
    ///
    /// # Errors
    /// As [`exec`](Self::exec).
    pub fn exec_detached(&self, request: ExecRequest) -> Result<(), Error> {
        self.start_probe(request).map(drop)
    }

    fn start_exec(&self, request: ExecRequest, wishes: Wishes) -> Result<Execution, Error> {
        let id = ContainerId::random().map_err(Error::io("read", "/dev/urandom"))?;
        let command = request.args.join(" ");
        let told = |step: &str| {
            let details = [("execID", id.as_str())];
            self.tell(&format!("{step}: {command}"), &details);
        };
        let target = self.process()?;
        self.not_paused()?;
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
        told("exec_create");
        told("exec_start");
        Ok(Execution {
            id,
            process: started,
            ends,
        })
    }

    /// Starts a command whose output goes to pipes that the caller reads.
    pub(super) fn start_probe(&self, request: ExecRequest) -> Result<Execution, Error> {
        let wishes = Wishes {
            tty: false,
            open_stdin: false,
            attach: Attach::Detached,
            logging: Logging::Off,
            size: None,
            restarts: 0,
        };
        self.start_exec(request, wishes)
    }

    pub(super) fn tell_exec_end(&self, execution: &Execution, code: u8) {
        let details = [
            ("execID", execution.id.as_str()),
            ("exitCode", &*code.to_string()),
        ];
        self.tell("exec_die", &details);
    }
}

fn lost(pid: u32) -> impl Fn(io::Error) -> Error {
    move |source| Error::Process {
        action: "wait for",
        pid,
        source,
    }
}

/// Lets go of all that the caller's streams, session and descriptors are.
fn leave_caller(clients: &Clients) -> Result<(), Error> {
    let failed = |errno: nix::Error| Error::io("leave the caller's", "/proc/self/fd")(errno);
    let _ = nix::unistd::setsid();
    let nothing = File::options().read(true).write(true).open("/dev/null");
    let nothing = nothing.map_err(Error::io("open", "/dev/null"))?;
    for stream in 0..=2 {
        fds::become_stream(nothing.as_fd(), stream).map_err(failed)?;
    }
    drop(nothing);
    let proc = File::open("/proc").map_err(Error::io("open", "/proc"))?;
    let proc = std::mem::ManuallyDrop::new(proc);
    clients
        .connected()
        .iter()
        .try_for_each(|client| fds::close_all_but(0, client.as_fd(), proc.as_fd()))
        .map_err(failed)
}
