//! What a container is doing now, as people see it: what was recorded, and what the kernel says.

use super::options::Signal;
use super::state::Status;
use super::{Container, Error};
use crate::runtime;
use crate::runtime::cgroup::{Cgroup, Freezer};

/// What a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Made, not started.
    Created,
    /// Its processes run.
    Running,
    /// Its processes are stopped where they are.
    Paused,
    /// It has ended, and is about to be started again.
    Restarting,
    /// It has ended, or could not be started.
    Exited,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Created,
        Self::Running,
        Self::Paused,
        Self::Restarting,
        Self::Exited,
    ];

    /// Docker's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
        }
    }

    /// Whether it has processes, or is about to.
    pub fn is_live(self) -> bool {
        match self {
            Self::Running | Self::Paused | Self::Restarting => true,
            Self::Created | Self::Exited => false,
        }
    }
}

impl Container {
    /// What it is doing. That it is paused stands nowhere but in the kernel, so that no crash can
    /// make it wrong.
    pub fn phase(&self) -> Phase {
        match self.state().status {
            Status::Created => Phase::Created,
            Status::Running if self.is_frozen() => Phase::Paused,
            Status::Running => Phase::Running,
            Status::Restarting => Phase::Restarting,
            Status::Exited => Phase::Exited,
        }
    }

    fn is_frozen(&self) -> bool {
        let group = self.cgroup().ok().and_then(|path| Cgroup::open(&path).ok());
        group.is_some_and(|group| group.freezer() == Freezer::Frozen)
    }

    /// Stops all its processes where they are.
    ///
    /// # Errors
    /// [`Error::NotRunning`], [`Error::Paused`]; [`Error::Runtime`] where this system cannot.
    pub fn pause(&self) -> Result<(), Error> {
        self.process()?;
        self.not_paused()?;
        self.freeze(Freezer::Frozen)?;
        self.tell("pause", &[]);
        Ok(())
    }

    /// Whether its processes can do what they are asked to.
    pub(super) fn not_paused(&self) -> Result<(), Error> {
        if self.is_frozen() {
            return Err(Error::Paused(self.name().clone()));
        }
        Ok(())
    }

    /// Lets its processes go on.
    ///
    /// # Errors
    /// [`Error::NotPaused`]; [`Error::Runtime`] where this system cannot.
    pub fn unpause(&self) -> Result<(), Error> {
        self.process()?;
        if !self.is_frozen() {
            return Err(Error::NotPaused(self.name().clone()));
        }
        self.freeze(Freezer::Thawed)?;
        self.tell("unpause", &[]);
        Ok(())
    }

    /// Lets its processes go on after a signal that is to end them: while they are paused, they
    /// do not notice.
    pub(super) fn thaw_for(&self, signal: Signal) -> Result<(), Error> {
        if self.ends(signal) && self.is_frozen() {
            self.freeze(Freezer::Thawed)?;
            self.tell("unpause", &[]);
        }
        Ok(())
    }

    fn freeze(&self, to: Freezer) -> Result<(), Error> {
        let group = Cgroup::open(&self.cgroup()?);
        let done = group.and_then(|group| group.freeze(to));
        done.map_err(|error| Error::Runtime(runtime::Error::from(error)))
    }
}
