//! A further process in a running container.

use std::fmt;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use oci_spec::runtime::{LinuxSeccomp, Process as ProcessSpec};

use super::cgroup::{Cgroup, CgroupPath};
use super::listener::ListenerPlan;
use super::parent::{Heard, ParentEnd, Waiting};
use super::plan::{self, NEW_TIME, ProcessPlan};
use super::seccomp::Filter;
use super::{Console, Error, Process, StartTime, StateOf, Stdio, child, explain, parent};
use crate::sys::clone::{Request, Side, clone, pidfd_open};
use crate::sys::signals;

/// The container to join: its first process, which must be the same that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Process id in the caller's pid namespace.
    pub pid: u32,
    /// Its start time, so that a recycled process id is never joined.
    pub start: StartTime,
}

/// Everything that [`exec`] needs to add a process to a running container.
#[derive(Debug)]
pub struct Exec<'a> {
    /// The container's first process.
    pub target: Target,
    /// Program, user, capabilities, limits. A `terminal` in it is not looked at;
    /// [`Exec::console`] decides.
    pub process: &'a ProcessSpec,
    /// The filter of its system calls.
    pub filter: Option<Filter>,
    /// The container's cgroup, which the process joins before it joins anything else.
    pub cgroup: Option<&'a CgroupPath>,
    /// The three standard streams. Ignored with [`Console::Pty`].
    pub stdio: Stdio,
    /// Whether the process gets a terminal.
    pub console: Console,
}

/// Starts a process in the namespaces and the cgroup of a running container.
///
/// # Errors
/// As [`launch`](super::launch()); [`Error::Gone`] if the target is no longer that process.
pub fn exec(exec: Exec<'_>) -> Result<Process, Error> {
    exec_with(exec, &ExecOptions::default())
}

/// What only the command line of an OCI runtime asks for; by default nothing of it.
#[derive(Default)]
pub struct ExecOptions<'a> {
    /// How many of the caller's descriptors behind the streams the process gets too. They must be
    /// open.
    pub preserved_fds: u16,
    /// The profile that [`Exec::filter`] was made of, and what makes the container's state: for the
    /// agent that receives its notifications.
    pub notify: Option<(&'a LinuxSeccomp, StateOf<'a>)>,
}

impl fmt::Debug for ExecOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecOptions")
            .field("preserved_fds", &self.preserved_fds)
            .field("notify", &self.notify.map(|(profile, _)| profile))
            .finish()
    }
}

/// The same, with more options.
///
/// # Errors
/// The same.
pub fn exec_with(exec: Exec<'_>, options: &ExecOptions<'_>) -> Result<Process, Error> {
    let mut plan = JoinPlan::build(&exec)?;
    plan.process.preserved = options.preserved_fds;
    let agent = options.notify.and_then(|(profile, state)| {
        ListenerPlan::of(Some(profile)).map(|listener| (listener, state))
    });
    plan::refuse_unheard(
        plan.process.seccomp.as_ref(),
        agent.as_ref().map(|(listener, _)| listener),
    )?;
    let cgroup = exec.cgroup.map(Cgroup::open).transpose()?;
    let stdio = exec.stdio.above_streams()?;
    let (parent, child) = parent::channel()?;
    let pid = match clone(Request::default()) {
        Ok(Side::Child) => {
            drop(parent); // As in `launch`.
            child::join(&plan, &stdio, &child::Channel::new(child))
        }
        Ok(Side::Parent { pid, .. }) => pid,
        Err(errno) => return Err(explain::clone_failed(errno)),
    };
    drop(child);
    // The joining child ends by itself, when it has forked or failed.
    let joining = Reaper(Some(pid));
    if let Some(cgroup) = &cgroup {
        // Before the fork: the process must be under the container's limits from its first moment.
        cgroup.attach(pid)?;
    }
    parent.go()?;
    let mut heard = Heard::default();
    let listened = attend(&parent, &mut heard, agent.as_ref());
    drop(joining);
    let mut program = Reaper(heard.forked);
    listened?;
    if let Some(fault) = heard.fault {
        return Err(explain::process_fault(fault, &plan.process));
    }
    let Some(pid) = program.0 else {
        return Err(Error::Gone {
            pid: exec.target.pid,
        });
    };
    heard.refuse_killed()?;
    let start = StartTime::of(pid).map_err(|error| {
        plan::setup(
            "read the start time of the new process".to_owned(),
            "see that /proc is mounted",
            error,
        )
    })?;
    program.0 = None;
    let pidfd = pidfd_open(pid).ok();
    Ok(Process::new(pid, start, pidfd, None, heard.console))
}

/// Listens until the child has executed its program or failed. Its filter's notifications are
/// handed over meanwhile.
fn attend(
    parent: &ParentEnd,
    heard: &mut Heard,
    agent: Option<&(ListenerPlan, StateOf<'_>)>,
) -> Result<(), Error> {
    while let Some(waiting) = parent.listen(heard)? {
        if let (Waiting::Agent(filter), Some(pid), Some((listener, state))) =
            (waiting, heard.forked, agent)
        {
            listener.send(&filter, pid, *state, "running")?;
        }
    }
    Ok(())
}

/// What the joining child needs.
#[derive(Debug)]
pub(super) struct JoinPlan {
    /// In the order in which they are joined.
    pub(super) namespaces: Vec<(CloneFlags, OwnedFd)>,
    /// The container's root, as its first process sees it.
    pub(super) root: OwnedFd,
    pub(super) process: ProcessPlan,
    /// Of the process, to be set before a user namespace is joined: there we could not any more.
    pub(super) oom_score: Option<String>,
    pub(super) console: Console,
    /// The host's procfs.
    pub(super) proc: OwnedFd,
}

impl JoinPlan {
    fn build(exec: &Exec<'_>) -> Result<Self, Error> {
        let Target { pid, start } = exec.target;
        let mut process = ProcessPlan::build(exec.process, exec.filter.clone(), exec.console)?;
        let proc = plan::host_proc()?;
        let gone = || Error::Gone { pid };
        let folder = openat(
            &proc,
            format!("{pid}").as_str(),
            OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
        .map_err(|_| gone())?;
        let root = openat(
            &folder,
            "root",
            OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        );
        let root = root.map_err(|_| gone())?;
        let mut namespaces = Vec::new();
        // The mount namespace behind those whose paths are gone with it; the user namespace, with
        // which our rights in the others may be, last.
        for (kind, name) in [
            (NEW_TIME, "time"),
            (CloneFlags::CLONE_NEWCGROUP, "cgroup"),
            (CloneFlags::CLONE_NEWIPC, "ipc"),
            (CloneFlags::CLONE_NEWUTS, "uts"),
            (CloneFlags::CLONE_NEWNET, "net"),
            (CloneFlags::CLONE_NEWPID, "pid"),
            (CloneFlags::CLONE_NEWNS, "mnt"),
            (CloneFlags::CLONE_NEWUSER, "user"),
        ] {
            let path = format!("ns/{name}");
            match openat(
                &folder,
                path.as_str(),
                OFlag::O_RDONLY | OFlag::O_CLOEXEC,
                Mode::empty(),
            ) {
                Ok(file) if is_other(&file, &path) => namespaces.push((kind, file)),
                Ok(_) => {}
                // This kernel has no such namespace.
                Err(Errno::ENOENT)
                    if [
                        CloneFlags::CLONE_NEWCGROUP,
                        NEW_TIME,
                        CloneFlags::CLONE_NEWUSER,
                    ]
                    .contains(&kind) => {}
                Err(_) => return Err(gone()),
            }
        }
        // Looked at last: all the descriptors above then belong to the recorded process.
        if StartTime::of(pid).ok() != Some(start) {
            return Err(gone());
        }
        Ok(Self {
            namespaces,
            root,
            oom_score: process.oom_score.take(),
            process,
            console: exec.console,
            proc,
        })
    }
}

/// Whether a namespace is another than our own, which need not be joined.
fn is_other(file: &OwnedFd, path: &str) -> bool {
    let own = nix::sys::stat::stat(format!("/proc/self/{path}").as_str());
    match (own, nix::sys::stat::fstat(file)) {
        (Ok(own), Ok(theirs)) => (own.st_dev, own.st_ino) != (theirs.st_dev, theirs.st_ino),
        _ => true,
    }
}

/// Kills and reaps a child that nobody will take over.
struct Reaper(Option<u32>);

impl Drop for Reaper {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let pid = i32::try_from(pid).unwrap_or_default();
            // Ended already or not, it is ours to reap.
            let _sent = signals::send(pid, nix::libc::SIGKILL);
            let _reaped = signals::reap(pid);
        }
    }
}
