//! Signals to a container.

use std::os::fd::{AsFd as _, OwnedFd};

use nix::errno::Errno;
use nix::libc;

use super::{Container, Error, Status};
use crate::container::options::Signal;
use crate::container::state::Incarnation;
use crate::runtime::cgroup::{Cgroup, Freezer};
use crate::sys::{clone, signals};

/// Whom a signal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The container's first process.
    First,
    /// All in its control group.
    All,
}

/// Its process, held so that its number cannot come to name another.
pub(super) struct Held {
    pid: i32,
    pidfd: Option<OwnedFd>,
}

impl Held {
    /// `None`: it has ended.
    pub(super) fn of(process: &Incarnation) -> Option<Self> {
        // Linux 5.3; before, nothing holds a process that is not our child.
        let pidfd = clone::pidfd_open(process.pid).ok();
        // Looked at last: what was opened is that very process.
        process.lives().then(|| Self {
            pid: i32::try_from(process.pid).unwrap_or(i32::MAX),
            pidfd,
        })
    }

    pub(super) fn send(&self, signal: i32) -> Result<(), Errno> {
        match &self.pidfd {
            Some(pidfd) => match clone::pidfd_send_signal(pidfd.as_fd(), signal) {
                Err(Errno::ENOSYS) => signals::send(self.pid, signal),
                other => other,
            },
            None => signals::send(self.pid, signal),
        }
    }

    pub(super) fn pidfd(&self) -> Option<&OwnedFd> {
        self.pidfd.as_ref()
    }
}

impl Container {
    /// Sends a signal.
    ///
    /// # Errors
    /// [`Error::Status`] when it has no process.
    pub fn signal(&self, signal: Signal, whom: Whom) -> Result<(), Error> {
        let refused = || self.refuse("signal", "it has no process to be signalled");
        let status = self.status();
        if !status.has_process() {
            return Err(refused());
        }
        let process = self.record.process.as_ref().and_then(Held::of);
        let process = process.ok_or_else(refused)?;
        let group = self.cgroup().map(|path| Cgroup::open(&path)).transpose()?;
        let sent = match (whom, &group) {
            (Whom::All, Some(group)) => {
                for pid in group.pids()? {
                    // Those that have ended meanwhile need none.
                    let _sent =
                        signals::send(i32::try_from(pid).unwrap_or(i32::MAX), signal.number());
                }
                Ok(())
            }
            (Whom::All, None) | (Whom::First, _) => process.send(signal.number()),
        };
        match sent {
            Ok(()) => {}
            Err(Errno::ESRCH) => return Err(refused()),
            Err(errno) => return Err(Error::io("signal", format!("/proc/{}", process.pid))(errno)),
        }
        // Frozen by version 1 of cgroups, a process does not even notice that it is killed.
        if let (libc::SIGKILL, Status::Paused, Some(group)) = (signal.number(), status, &group) {
            group.freeze(Freezer::Thawed)?;
        }
        Ok(())
    }
}
