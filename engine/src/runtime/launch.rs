//! What to start, and starting it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use oci_spec::runtime::{LinuxResources, Spec};

use super::cgroup::{Cgroup, CgroupPath, Hierarchies};
use super::hooks::{HookPoint, run_planned};
use super::parent::{Heard, ParentEnd, Waiting};
use super::plan::{self, Begin, Plan};
use super::seccomp::Filter;
use super::user_namespace::Detour;
use super::{Error, Options, Process, StartTime, StateOf, child, explain, parent};
use crate::sys::clone::{Parent, Request, Side, clone};
use crate::sys::signals;

/// Everything that [`launch`] needs to make a container's first process.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The container's id; used in messages only.
    pub id: &'a str,
    /// What the container is. `root.path` is not looked at ([`Launch::rootfs`] is), `root.readonly`
    /// is. Whatever is asked for here and cannot be done is refused before anything is created.
    pub spec: &'a Spec,
    /// The filter of its system calls, where it has been translated already; else the spec's
    /// `linux.seccomp` is.
    pub filter: Option<Filter>,
    /// The mounted root file system, an absolute path without symbolic links.
    pub rootfs: &'a Path,
    /// The root file system as a detached mount, to be attached to [`Launch::rootfs`] in the
    /// container's own mount namespace; `None`: it is there already.
    pub mount: Option<BorrowedFd<'a>>,
    /// The cgroup to create (with the spec's `linux.resources`) and to start the process in;
    /// `None` leaves it in the caller's, and then limits in the spec are an error.
    /// The caller removes it after the exit: [`Process::cgroup`].
    pub cgroup: Option<&'a CgroupPath>,
    /// The three standard streams. Ignored with [`Console::Pty`].
    pub stdio: Stdio,
    /// Whether a small init of Keel's own is pid 1.
    pub init: Init,
    /// Whether the process gets a terminal.
    pub console: Console,
}

/// Where the process's standard streams go.
#[derive(Debug, Default)]
pub enum Stdio {
    /// The caller's own 0, 1 and 2.
    #[default]
    Inherit,
    /// These become 0, 1 and 2; the caller's copies are closed when the launch returns.
    Fds {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
}

/// Who is pid 1 of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Init {
    /// The program itself.
    #[default]
    No,
    /// A small init that starts the program as its child, passes signals on to it, reaps
    /// orphans, and exits with the program's status.
    Yes,
}

/// The process's terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Console {
    /// None: streams as [`Stdio`] says.
    #[default]
    None,
    /// A new pseudo terminal in the container's own devpts, controlling terminal of a new
    /// session, also bound to `/dev/console`. [`Process::take_console`] gives its master.
    Pty {
        /// Rows and columns, when known.
        size: Option<(u16, u16)>,
    },
}

/// Starts the container's first process and returns when its program has been executed.
///
/// # Errors
/// Nothing is left behind: the child is dead and reaped and the cgroup, if this call made it, is
/// removed. [`Error::exit_code`] tells 125, 126 and 127 apart.
pub fn launch(launch: Launch<'_>) -> Result<Process, Error> {
    let mut spawned = spawn(launch, &Options::default(), Begin::AtOnce)?;
    spawned.attend()?;
    spawned.into_process()
}

/// A child that is setting itself up. Dropped, it is killed, and the cgroup removed.
#[derive(Debug)]
pub(super) struct Spawned {
    parent: ParentEnd,
    plan: Plan,
    undo: Undo,
    pid: u32,
    start: StartTime,
    pidfd: Option<OwnedFd>,
    heard: Heard,
}

/// Makes the child, and puts it into its cgroup.
pub(super) fn spawn(
    launch: Launch<'_>,
    options: &Options<'_>,
    begin: Begin,
) -> Result<Spawned, Error> {
    let hierarchies = Hierarchies::detect();
    let plan = Plan::build(&launch, options, begin, &hierarchies)?;
    let resources = launch
        .spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.resources().as_ref());
    let place = Place {
        hierarchies: &hierarchies,
        path: launch.cgroup,
        resources,
    };
    place.refuse_limits_without_group()?;
    let stdio = launch.stdio.above_streams()?;
    let (parent, child) = parent::channel()?;

    // With the unified hierarchy the child is born in its group; with the others the group is made
    // while the child is already mounting.
    let early = match hierarchies {
        Hierarchies::Unified(_) => place.create()?,
        Hierarchies::Legacy(_) | Hierarchies::Absent => None,
    };
    let mut undo = Undo {
        child: None,
        cgroup: early,
    };
    let namespaces = plan.namespaces.cloned.bits().unsigned_abs();
    let entered = &plan.namespaces.entered;
    let detour = (!entered.is_empty()).then(|| Detour::enter(entered));
    let detour = detour.transpose()?;
    let (pid, pidfd, born_inside) = match start(u64::from(namespaces), undo.cgroup.as_ref())? {
        Started::Child => {
            // Or the channel would not close when the parent is killed.
            drop(parent);
            child::run(&plan, &stdio, child::Channel::new(child))
        }
        Started::Parent {
            pid,
            pidfd,
            born_inside,
        } => (pid, pidfd, born_inside),
    };
    undo.child = Some(pid);
    // Only the child may hold its end, or the channel would never close.
    drop(child);
    if let Some(detour) = detour {
        detour.leave()?;
    }
    if let Some(users) = &plan.users {
        users.write(plan.proc.as_fd(), pid)?;
        parent.go()?;
    }
    if undo.cgroup.is_none() {
        undo.cgroup = place.create()?;
    }
    if let Some(cgroup) = undo.cgroup.as_ref().filter(|_| !born_inside) {
        cgroup.attach(pid)?;
    }
    parent.go()?;
    let start = StartTime::of(pid).map_err(|error| {
        plan::setup(
            "read the start time of the new process".to_owned(),
            "see that /proc is mounted",
            error,
        )
    })?;
    Ok(Spawned {
        parent,
        plan,
        undo,
        pid,
        start,
        pidfd,
        heard: Heard::of(pid),
    })
}

impl Spawned {
    /// Listens until the child waits to be recorded, or has executed its program or failed
    /// (`None`). Runs the hooks that it waits for meanwhile.
    pub(super) fn attend(&mut self) -> Result<Option<Waiting>, Error> {
        loop {
            match self.parent.listen(&mut self.heard)? {
                Some(Waiting::Hooks) => {
                    let pid = self.pid.to_string();
                    let hooks = &self.plan.hooks;
                    let state = hooks.creating.with(pid.as_bytes());
                    run_planned(HookPoint::Prestart, &hooks.prestart, &state)?;
                    run_planned(HookPoint::CreateRuntime, &hooks.create_runtime, &state)?;
                    self.parent.go()?;
                }
                waiting => return Ok(waiting),
            }
        }
    }

    /// Hands a filter's notifications over.
    pub(super) fn hand_over(&self, filter: &OwnedFd, state: StateOf<'_>) -> Result<(), Error> {
        match &self.plan.listener {
            Some(listener) => listener.send(filter, self.pid, state, "created"),
            None => Ok(()),
        }
    }

    /// Lets it go on.
    pub(super) fn go(&self) -> Result<(), Error> {
        self.parent.go()
    }

    /// Why it failed, if it did.
    pub(super) fn refuse_failed(&self) -> Result<(), Error> {
        match self.heard.fault {
            Some(fault) => Err(explain::launch_failed(fault, self.heard.hook, &self.plan)),
            None => Ok(()),
        }
    }

    /// The child whose set-up came to its end.
    pub(super) fn into_process(mut self) -> Result<Process, Error> {
        self.refuse_failed()?;
        self.heard.refuse_killed()?;
        Ok(self.keep())
    }

    /// Kills and removes nothing any more.
    pub(super) fn keep(&mut self) -> Process {
        self.undo.child = None;
        Process::new(
            self.pid,
            self.start,
            self.pidfd.take(),
            self.undo.cgroup.take(),
            self.heard.console.take(),
        )
    }

    /// Process id and start time.
    pub(super) fn identity(&self) -> (u32, StartTime) {
        (self.pid, self.start)
    }

    /// The master side of the terminal, once.
    pub(super) fn take_console(&mut self) -> Option<OwnedFd> {
        self.heard.console.take()
    }
}

impl Stdio {
    /// Moves descriptors that are themselves 0, 1 or 2 out of the way, so that making one of them
    /// a stream never overwrites another.
    pub(super) fn above_streams(self) -> Result<Self, Error> {
        let lift = |fd: OwnedFd| {
            if fd.as_raw_fd() > nix::libc::STDERR_FILENO {
                return Ok(fd);
            }
            // Duplicates are never below 3: `F_DUPFD_CLOEXEC` with 3 as its least.
            fd.try_clone().map_err(|error| {
                plan::setup(
                    "duplicate a standard stream".to_owned(),
                    "raise RLIMIT_NOFILE",
                    error,
                )
            })
        };
        match self {
            Self::Inherit => Ok(Self::Inherit),
            Self::Fds {
                stdin,
                stdout,
                stderr,
            } => Ok(Self::Fds {
                stdin: lift(stdin)?,
                stdout: lift(stdout)?,
                stderr: lift(stderr)?,
            }),
        }
    }
}

/// Where the container's cgroup will be, and with what.
struct Place<'a> {
    hierarchies: &'a Hierarchies,
    path: Option<&'a CgroupPath>,
    resources: Option<&'a LinuxResources>,
}

impl Place<'_> {
    fn create(&self) -> Result<Option<Cgroup>, Error> {
        let create = |path| Cgroup::create_in(self.hierarchies, path, self.resources);
        Ok(self.path.map(create).transpose()?)
    }

    /// Limits without a group to hold them would be ignored. Device rules are looked over: without
    /// a group the capabilities alone decide, and every spec has some.
    fn refuse_limits_without_group(&self) -> Result<(), Error> {
        let limits = self.resources.is_some_and(|resources| {
            let mut rest = resources.clone();
            rest.set_devices(None);
            rest != LinuxResources::default() && rest != empty_resources()
        });
        if limits && self.path.is_none() {
            return Err(plan::invalid(
                "linux.resources",
                "needs a cgroup, and the container is to have none",
            ));
        }
        Ok(())
    }
}

/// Resources that ask for nothing.
fn empty_resources() -> LinuxResources {
    let mut none = LinuxResources::default();
    none.set_devices(None);
    none
}

enum Started {
    Child,
    Parent {
        pid: u32,
        pidfd: Option<OwnedFd>,
        born_inside: bool,
    },
}

/// Clones, into the group if the kernel can.
fn start(namespaces: u64, cgroup: Option<&Cgroup>) -> Result<Started, Error> {
    let birthplace = cgroup.and_then(Cgroup::birthplace);
    let request = |cgroup| Request {
        namespaces,
        cgroup,
        parent: Parent::Caller,
    };
    let (side, born_inside) = match &birthplace {
        Some(folder) => match clone(request(Some(folder.as_fd()))) {
            Err(Errno::ENOSYS) => (clone(request(None)), false),
            side => (side, true),
        },
        None => (clone(request(None)), false),
    };
    match side {
        Ok(Side::Child) => Ok(Started::Child),
        Ok(Side::Parent { pid, pidfd }) => Ok(Started::Parent {
            pid,
            pidfd,
            born_inside,
        }),
        Err(errno) => Err(explain::clone_failed(errno)),
    }
}

/// What to take back when a launch fails half-way.
#[derive(Debug)]
struct Undo {
    child: Option<u32>,
    cgroup: Option<Cgroup>,
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(pid) = self.child {
            let pid = i32::try_from(pid).unwrap_or_default();
            // It may have ended by itself; it is ours to reap either way.
            let _sent = signals::send(pid, nix::libc::SIGKILL);
            let _reaped = signals::reap(pid);
        }
        if let Some(cgroup) = &self.cgroup {
            // The launch's own error is what the caller needs to hear.
            let _removed = cgroup.remove();
        }
    }
}
