//! Signalling, stopping, awaiting and removing containers.

use std::time::{Duration, Instant};

use nix::fcntl::FlockArg;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd as _;

use super::options::Signal;
use super::record::LastWord;
use super::state::{Incarnation, LOST, Status};
use super::store::Hold;
use super::{Container, Error, store, supervise};
use crate::sys::clone;

/// How long a container may take to end after `SIGKILL`: as long as the kernel needs to tear down
/// its processes. One that hangs in the kernel never ends.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// Docker's, in seconds.
const USUAL_GRACE: i64 = 10;
/// How often an older kernel (before 5.3), which cannot wait for processes of others, is asked.
const INTERVAL: Duration = Duration::from_millis(10);

/// What may be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Whatever it is doing.
    Yes,
    /// Only what does not run.
    No,
}

impl Container {
    /// Its process, if it runs.
    pub(super) fn process(&self) -> Result<&Incarnation, Error> {
        let process = self.state().process.as_ref();
        process
            .filter(|process| self.state().status == Status::Running && process.lives())
            .ok_or_else(|| Error::NotRunning(self.name().clone()))
    }

    /// What asks it to end.
    pub(super) fn stop_signal(&self) -> Signal {
        self.config().process.stop_signal.unwrap_or(Signal::TERM)
    }

    /// Sends a signal to its first process; one that is to end it also ends a pause.
    ///
    /// # Errors
    /// [`Error::NotRunning`].
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        if self.ends(signal) && self.phase().is_live() {
            self.note_asked()?;
            if self.is_restarting() {
                return Ok(());
            }
        }
        let pid = self.process()?.pid;
        // First: what it leads to is told by others.
        self.tell("kill", &[("signal", &*signal.number().to_string())]);
        supervise::send(pid, signal.number()).map_err(|errno| Error::Process {
            action: "signal",
            pid,
            source: errno.into(),
        })?;
        self.thaw_for(signal)
    }

    /// How long it is given to end: so many seconds, or as many as it was made with. `None`: for
    /// ever.
    pub fn grace(&self, seconds: Option<i64>) -> Option<Duration> {
        let seconds = seconds.or(self.config().host.stop_timeout);
        u64::try_from(seconds.unwrap_or(USUAL_GRACE))
            .ok()
            .map(Duration::from_secs)
    }

    /// Sends its stop signal, and `SIGKILL` when it still runs after `grace` (`None`: never).
    /// Returns when it has ended. One that does not run is fine.
    ///
    /// # Errors
    /// [`Error::Immortal`] when even that does not end it.
    pub fn stop(&mut self, grace: Option<Duration>) -> Result<(), Error> {
        match self.signal(self.stop_signal()) {
            Err(Error::NotRunning(_)) => {
                // It may have ended just now, to be started again.
                self.refresh()?;
                return self.await_rest(self.stop_signal());
            }
            result => result?,
        }
        self.await_rest(self.stop_signal())?;
        if !self.await_end(grace)? {
            self.kill()?;
        }
        self.tell("stop", &[]);
        Ok(())
    }

    /// Waits for the monitor of a container that was about to start again to notice that it is not
    /// to. If it had just started it, that gets the signal.
    fn await_rest(&mut self, signal: Signal) -> Result<(), Error> {
        while self.is_restarting() && Hold::try_take(self.folder())?.is_none() {
            pause();
            self.refresh()?;
            if self.process().is_ok() {
                self.signal(signal)?;
            }
        }
        Ok(())
    }

    /// Whether it has ended and its monitor is about to start it again.
    pub(super) fn is_restarting(&self) -> bool {
        self.state().status == Status::Restarting
    }

    /// Whether a signal asks it to end, or makes it.
    pub(super) fn ends(&self, signal: Signal) -> bool {
        signal == Signal::KILL || signal == self.stop_signal()
    }

    /// Ends it at once, and returns when it has ended.
    fn kill(&mut self) -> Result<(), Error> {
        match self.signal(Signal::KILL) {
            Err(Error::NotRunning(_)) => {}
            result => result?,
        }
        self.await_rest(Signal::KILL)?;
        if self.await_end(Some(KILL_TIMEOUT))? {
            Ok(())
        } else {
            Err(Error::Immortal(self.name().clone()))
        }
    }

    /// Waits for its end, and gives its exit code.
    ///
    /// # Errors
    /// [`Error::Io`] when its files cannot be read.
    pub fn wait(&mut self) -> Result<u8, Error> {
        if self.state().status == Status::Exited {
            return Ok(self.state().exit_code);
        }
        let last_word = if self.config().host.auto_remove {
            LastWord::expect(self.folder()).map_err(Error::io("open", self.folder()))?
        } else {
            None
        };
        self.await_end(None)?;
        let rest = Self::read(self.root(), store::moved(self.folder().to_owned()))?;
        let recorded = rest.filter(|container| container.state().status == Status::Exited);
        let code = recorded.map(|container| container.state().exit_code);
        Ok(code
            .or_else(|| last_word.and_then(LastWord::read))
            .unwrap_or(LOST))
    }

    /// Waits until its process has ended and whoever ran it has recorded that. `false`: it still
    /// runs after `limit`.
    fn await_end(&mut self, limit: Option<Duration>) -> Result<bool, Error> {
        if limit.is_none() {
            // The kernel wakes us when whoever runs it lets go of its folder.
            drop(self.hold(FlockArg::LockShared)?);
            self.refresh()?;
        }
        if let Some(process) = self.state().process.clone() {
            if !process.await_end(limit) {
                return Ok(false);
            }
        }
        drop(self.hold(FlockArg::LockShared)?);
        self.refresh()?;
        Ok(true)
    }

    /// Removes it, with all that it wrote.
    ///
    /// # Errors
    /// [`Error::Running`] without force; [`Error::Immortal`] with it.
    pub fn remove(mut self, force: Force) -> Result<(), Error> {
        if self.is_restarting() || self.process().is_ok() {
            match force {
                Force::No => return Err(Error::Running(self.name().clone())),
                Force::Yes => self.kill()?,
            }
        }
        // Whoever ran it may still be recording its end, or removing it.
        let Some(_hold) = self.hold(FlockArg::LockExclusive)? else {
            return Ok(());
        };
        self.release()?;
        self.remove_from(&self.storage()?)
    }
}

/// Lets another process do what it is about to do.
pub(super) fn pause() {
    let _ = poll(
        &mut [],
        PollTimeout::try_from(INTERVAL).unwrap_or(PollTimeout::ZERO),
    );
}

impl Incarnation {
    /// Waits for its end. `false`: it lives on after `limit`.
    fn await_end(&self, limit: Option<Duration>) -> bool {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let pidfd = clone::pidfd_open(self.pid).ok();
        while self.lives() {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return false;
            }
            let mut ended = Vec::new();
            let step = match &pidfd {
                Some(pidfd) => {
                    ended.push(PollFd::new(pidfd.as_fd(), PollFlags::POLLIN));
                    left.unwrap_or(Duration::from_secs(3600))
                }
                None => left.unwrap_or(INTERVAL).min(INTERVAL),
            };
            // Rounded up, so that the last step is not a busy loop.
            let step = PollTimeout::try_from(step + Duration::from_millis(1));
            let _ = poll(&mut ended, step.unwrap_or(PollTimeout::MAX));
        }
        true
    }
}
