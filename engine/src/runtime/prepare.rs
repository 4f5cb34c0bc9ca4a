//! A launch in steps: the environment is made and recorded first, and its program begins later, at
//! the call of another process. What an OCI runtime does, and `keel run` need not.

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};

use oci_spec::runtime::{LinuxIdMapping, Spec};

use super::hooks::{HookPlan, HookPoint};
use super::launch::{Spawned, spawn};
use super::listener::ListenerPlan;
use super::parent::{Heard, ParentEnd, Waiting};
use super::plan::{self, Begin, ProcessPlan};
use super::{Console, Error, Launch, Process, StartTime, explain};

/// Makes a container's state, as the specification has it, of a status and a process id.
pub type StateOf<'a> = &'a dyn Fn(&'static str, u32) -> String;

/// What only the command line of an OCI runtime asks for; by default nothing of it.
#[derive(Default)]
pub struct Options<'a> {
    /// Makes the container's state, which hooks read, of a status and a process id. Without it,
    /// hooks are refused.
    pub state: Option<StateOf<'a>>,
    /// How many of the caller's descriptors behind the streams the program gets too. They must be
    /// open.
    pub preserved_fds: u16,
    /// Whether the process has a session keyring of its own.
    pub keyring: Keyring,
    /// How the root file system becomes the root.
    pub root_change: RootChange,
    /// Maps of the spec's mounts, in their order: `uidMappings` and `gidMappings`, which
    /// [`Spec`] has no place for.
    pub mount_maps: &'a [MountMaps],
    /// What the program waits for.
    pub start: Start<'a>,
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("hooks", &self.state.is_some())
            .field("preserved_fds", &self.preserved_fds)
            .field("keyring", &self.keyring)
            .field("root_change", &self.root_change)
            .field("mount_maps", &self.mount_maps)
            .field("start", &self.start)
            .finish()
    }
}

/// Which users' the files of a mount look like.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
pub struct MountMaps {
    /// Of users.
    #[serde(default, rename = "uidMappings")]
    pub uid: Vec<LinuxIdMapping>,
    /// Of groups.
    #[serde(default, rename = "gidMappings")]
    pub gid: Vec<LinuxIdMapping>,
}

impl MountMaps {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.uid.is_empty() && self.gid.is_empty()
    }
}

/// Whose session keyring the process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keyring {
    /// One of its own.
    #[default]
    New,
    /// The caller's (`--no-new-keyring`).
    Callers,
}

/// How the root file system becomes the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RootChange {
    /// By `pivot_root(2)`.
    #[default]
    Pivot,
    /// Moved onto the old one (`--no-pivot`), which stays reachable for who escapes a chroot, without
    /// what was mounted in it.
    Move,
}

/// What the program waits for, when its environment is complete.
#[derive(Debug, Clone, Copy, Default)]
pub enum Start<'a> {
    /// [`Prepared::begin`].
    #[default]
    Recorded,
    /// Somebody's connecting to this listening socket (of the sequenced-packet kind), who then
    /// calls [`await_start`].
    Called(BorrowedFd<'a>),
}

/// A container whose environment is complete, and whose program waits. Dropped, it is killed and
/// its cgroup removed.
#[derive(Debug)]
pub struct Prepared(Spawned);

/// Makes a container's environment. Runs the hooks that run meanwhile.
///
/// # Errors
/// As [`launch`](super::launch()); [`Error::Hook`].
pub fn prepare(launch: Launch<'_>, options: &Options<'_>) -> Result<Prepared, Error> {
    let begin = match options.start {
        Start::Recorded => Begin::Recorded,
        Start::Called(listener) => {
            Begin::Called(listener.try_clone_to_owned().map_err(|error| {
                plan::setup(
                    "duplicate the socket of the start".to_owned(),
                    "raise RLIMIT_NOFILE",
                    error,
                )
            })?)
        }
    };
    let mut spawned = spawn(launch, options, begin)?;
    match spawned.attend()? {
        Some(Waiting::Record) => Ok(Prepared(spawned)),
        Some(Waiting::Hooks | Waiting::Agent(_)) | None => {
            spawned.refuse_failed()?;
            Err(plan::killed())
        }
    }
}

impl Prepared {
    /// Process id in the caller's pid namespace, and start time.
    pub fn identity(&self) -> (u32, StartTime) {
        self.0.identity()
    }

    /// The master side of the terminal, once.
    pub fn take_console(&mut self) -> Option<OwnedFd> {
        self.0.take_console()
    }

    /// Lets the program begin, and returns when it was executed.
    ///
    /// # Errors
    /// As [`launch`](super::launch()).
    pub fn begin(mut self, state: StateOf<'_>) -> Result<Process, Error> {
        self.0.go()?;
        while let Some(waiting) = self.0.attend()? {
            if let Waiting::Agent(filter) = waiting {
                self.0.hand_over(&filter, state)?;
            }
        }
        self.0.into_process()
    }

    /// Leaves it waiting for the call that starts it: it no longer ends with this process.
    ///
    /// # Errors
    /// When it ended meanwhile.
    pub fn leave(mut self) -> Result<Process, Error> {
        self.0.go()?;
        self.0.attend()?;
        self.0.refuse_failed()?;
        Ok(self.0.keep())
    }
}

/// Starts a program that waits to be called, over a connection to its socket, and returns when it
/// was executed.
///
/// # Errors
/// As [`launch`](super::launch()); the container's process has ended then.
pub fn await_start(
    connection: OwnedFd,
    pid: u32,
    spec: &Spec,
    state: StateOf<'_>,
) -> Result<(), Error> {
    let program = ParentEnd::new(connection);
    program.go()?;
    let mut heard = Heard::of(pid);
    let linux = spec.linux().as_ref();
    let profile = linux.and_then(|linux| linux.seccomp().as_ref());
    while let Some(waiting) = program.listen(&mut heard)? {
        let listener = ListenerPlan::of(profile);
        if let (Waiting::Agent(filter), Some(listener)) = (waiting, listener) {
            listener.send(&filter, pid, state, "created")?;
        }
    }
    let Some(fault) = heard.fault else {
        return heard.refuse_killed();
    };
    let hooks = spec.hooks().as_ref();
    let hooks = hooks.and_then(|hooks| hooks.start_container().as_ref());
    let hooks = HookPlan::list(HookPoint::StartContainer, hooks)?;
    if let Some(error) = explain::hook_failed(fault, heard.hook, &hooks) {
        return Err(error);
    }
    let process = spec.process().as_ref();
    let process = process.ok_or_else(|| plan::invalid("process", "is missing"))?;
    let plan = ProcessPlan::build(process, None, Console::Pty { size: None })?;
    Err(explain::process_fault(fault, &plan))
}
