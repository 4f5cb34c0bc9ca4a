//! The end of a container.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::signal::Held;
use super::{Container, Error, Runtime, Status};
use crate::runtime;
use crate::runtime::cgroup::{Cgroup, Freezer};

/// Whether a container that is not stopped is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// It is refused.
    No,
    /// It is killed.
    Yes,
}

/// How long a killed process gets to end.
const PATIENCE: Duration = Duration::from_secs(10);

impl Runtime {
    /// Deletes a container that was found to be changed, and what was made for it. What comes back
    /// are warnings: of its last hooks.
    ///
    /// # Errors
    /// [`Error::Status`], and nothing is changed; what a failure half-way leaves can be deleted
    /// again.
    pub fn delete(
        &self,
        container: &Container,
        force: Force,
    ) -> Result<Vec<runtime::Error>, Error> {
        container.end(force)?;
        // A folder whose configuration is gone has no hooks.
        let spec = container.spec().ok();
        if let Some(path) = container.cgroup() {
            let group = Cgroup::open(&path)?;
            // What shares the host's pid namespace outlives the first process.
            if !group.pids()?.is_empty() {
                group.kill_all()?;
            }
            group.remove()?;
        }
        self.withdraw(container)?;
        Ok(spec.map_or_else(Vec::new, |spec| container.poststop(&spec)))
    }
}

impl Container {
    /// Makes sure that it is stopped.
    pub(super) fn end(&self, force: Force) -> Result<(), Error> {
        let status = self.status();
        match (status, force) {
            (Status::Stopped, _) => return Ok(()),
            (_, Force::No) => {
                return Err(self.refuse("delete", "kill it first, or delete it with --force"));
            }
            (Status::Creating | Status::Created | Status::Running | Status::Paused, Force::Yes) => {
            }
        }
        let Some(process) = self.record.process.as_ref().and_then(Held::of) else {
            return Ok(());
        };
        // Ended just now: as well.
        let _sent = process.send(libc::SIGKILL);
        if status == Status::Paused {
            if let Some(path) = self.cgroup() {
                Cgroup::open(&path)?.freeze(Freezer::Thawed)?;
            }
        }
        self.await_end(&process)
    }

    fn await_end(&self, process: &Held) -> Result<(), Error> {
        let start = Instant::now();
        let lives = || {
            let record = self.record.process.as_ref();
            record.is_some_and(crate::container::state::Incarnation::lives)
        };
        while lives() {
            let left = PATIENCE.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(Error::StillAlive(self.id.clone()));
            }
            match process.pidfd() {
                Some(pidfd) => {
                    let mut wait = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
                    let left = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
                    // Interrupted or not: look again.
                    let _woken = poll(&mut wait, PollTimeout::from(left));
                }
                // Before 5.3 there is no event to wait for.
                None => {
                    let _slept = poll(&mut [], PollTimeout::from(1_u16));
                }
            }
        }
        Ok(())
    }
}
