//! What a running container uses, and may use.

use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use oci_spec::runtime::LinuxResources;

use super::signal::Held;
use super::{Container, Error, Status};
use crate::container::in_pid_namespace_of;
use crate::runtime::cgroup::{Cgroup, Freezer, Stats};
use crate::runtime::requirement;

impl Container {
    /// Stops all its processes where they are.
    ///
    /// # Errors
    /// [`Error::Status`].
    pub fn pause(&self) -> Result<(), Error> {
        match self.status() {
            Status::Running | Status::Created => Ok(self.group()?.freeze(Freezer::Frozen)?),
            Status::Creating | Status::Paused | Status::Stopped => {
                Err(self.refuse("pause", "only one that is running can be paused"))
            }
        }
    }

    /// Lets its processes go on.
    ///
    /// # Errors
    /// [`Error::Status`].
    pub fn resume(&self) -> Result<(), Error> {
        // A created one may have been paused, too: that is no status of the specification.
        let group = self.group()?;
        if self.status().has_process() && group.freezer() == Freezer::Frozen {
            return Ok(group.freeze(Freezer::Thawed)?);
        }
        Err(self.refuse("resume", "only one that is paused can be resumed"))
    }

    /// Changes its limits; what is not given stays.
    ///
    /// # Errors
    /// [`Error::Status`] when it is stopped.
    pub fn update(&self, resources: &LinuxResources) -> Result<(), Error> {
        if !self.status().has_process() {
            return Err(self.refuse("update", "create it again with other limits"));
        }
        Ok(self.group()?.apply(resources)?)
    }

    /// The processes in it, by their ids on the host.
    ///
    /// # Errors
    /// [`Error::Status`] when it has none.
    pub fn pids(&self) -> Result<Vec<u32>, Error> {
        if !self.status().has_process() {
            return Err(self.refuse("look into", "it has no processes"));
        }
        match (self.cgroup(), &self.record.process) {
            (None, Some(process)) => Ok(in_pid_namespace_of(process.pid)),
            _ => Ok(self.group()?.pids()?),
        }
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// [`Error::Status`] when it has no process.
    pub fn stats(&self) -> Result<Stats, Error> {
        if !self.status().has_process() {
            return Err(self.refuse("measure", "it has no processes"));
        }
        Ok(self.group()?.stats()?)
    }

    /// How often the kernel has killed a process of it for lack of memory.
    ///
    /// # Errors
    /// Without control groups.
    pub fn oom_kills(&self) -> Result<u64, Error> {
        Ok(self.group()?.oom_kills()?)
    }

    /// Waits for a while, or until its process ends: whether it lives.
    pub fn watch(&self, time: Duration) -> bool {
        let Some(process) = self.record.process.as_ref().and_then(Held::of) else {
            return false;
        };
        let time = u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
        // Interrupted or not: look again. Before 5.3 there is nothing but the time to wait for.
        let _woken = match process.pidfd() {
            Some(pidfd) => {
                use std::os::fd::AsFd as _;
                let mut ended = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
                poll(&mut ended, PollTimeout::from(time))
            }
            None => poll(&mut [], PollTimeout::from(time)),
        };
        self.status().has_process()
    }

    fn group(&self) -> Result<Cgroup, Error> {
        let path = self.cgroup().ok_or_else(requirement::no_groups)?;
        Ok(Cgroup::open(&path)?)
    }
}
