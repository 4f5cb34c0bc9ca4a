//! What to start, and starting it.

use std::os::fd::OwnedFd;
use std::path::Path;

use oci_spec::runtime::Spec;

use super::cgroup::CgroupPath;
use super::{Error, Process};

/// Everything that [`launch`] needs to make a container's first process.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The container's id; used in messages only.
    pub id: &'a str,
    /// What the container is. `root.path` is not looked at ([`Launch::rootfs`] is), `root.readonly`
    /// is. Whatever is asked for here and cannot be done is refused before anything is created.
    pub spec: &'a Spec,
    /// The mounted root file system, an absolute path without symbolic links.
    pub rootfs: &'a Path,
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
    drop(launch);
    Err(Error::Unsupported {
        what: "launching".to_owned(),
        remedy: "wait for the next commit",
    })
}
