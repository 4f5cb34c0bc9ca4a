//! What a container is doing: seen in the kernel, never in a file.

use std::fmt;
use std::fs::File;

use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;

use super::Container;
use crate::runtime::cgroup::{Cgroup, CgroupPath, Freezer};

/// What a container is doing, by the names of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its environment is being made.
    Creating,
    /// Its environment is made, and its program waits to be started.
    Created,
    /// Its program was executed.
    Running,
    /// The same, and all its processes are frozen.
    Paused,
    /// Its process has ended, or never came to be.
    Stopped,
}

impl Status {
    /// Whether there is a process.
    pub fn has_process(self) -> bool {
        match self {
            Self::Created | Self::Running | Self::Paused => true,
            Self::Creating | Self::Stopped => false,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The file whose lock the waiting process holds. It closes it, and with it all else that it has
/// open, just before its program is executed.
pub(super) const WAITING: &str = "waiting";

impl Container {
    /// What it is doing.
    pub fn status(&self) -> Status {
        let Some(process) = &self.record.process else {
            // Whoever creates it holds the lock of its folder.
            return if self.is_held_by_another() {
                Status::Creating
            } else {
                Status::Stopped
            };
        };
        if !process.lives() {
            return Status::Stopped;
        }
        if is_locked(&self.folder.join(WAITING)) {
            return Status::Created;
        }
        let group = self.cgroup().and_then(|path| Cgroup::open(&path).ok());
        match group.map(|group| group.freezer()) {
            Some(Freezer::Frozen) => Status::Paused,
            Some(Freezer::Thawed) | None => Status::Running,
        }
    }

    /// Its control group, on a system that has them.
    pub(super) fn cgroup(&self) -> Option<CgroupPath> {
        let path = self.record.cgroup.as_deref()?;
        CgroupPath::parse(path).ok()
    }

    fn is_held_by_another(&self) -> bool {
        self.hold.is_none() && is_locked(&self.folder)
    }
}

/// Whether somebody holds the lock of a file.
fn is_locked(path: &std::path::Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    matches!(
        Flock::lock(file, FlockArg::LockSharedNonblock),
        Err((_, nix::errno::Errno::EWOULDBLOCK))
    )
}
