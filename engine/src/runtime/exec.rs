//! A further process in a running container.

use oci_spec::runtime::{LinuxSeccomp, Process as ProcessSpec};

use super::cgroup::CgroupPath;
use super::{Console, Error, Process, StartTime, Stdio};

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
    /// The container's seccomp profile (`linux.seccomp` of its spec).
    pub seccomp: Option<&'a LinuxSeccomp>,
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
/// As [`launch`](super::launch); [`Error::Gone`] if the target is no longer that process.
pub fn exec(exec: Exec<'_>) -> Result<Process, Error> {
    drop(exec);
    Err(Error::Unsupported {
        what: "exec".to_owned(),
        remedy: "wait for the next commit",
    })
}
