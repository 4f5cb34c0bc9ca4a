//! A started process: waiting for it and signalling it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;

use super::cgroup::Cgroup;
use crate::sys::{clone, signals};

/// When a process started: clock ticks since boot, field 22 of `/proc/PID/stat`. Together with the
/// process id it names a process for good, as process ids are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct StartTime(pub u64);

impl StartTime {
    /// The start time of a living (or zombie) process.
    ///
    /// # Errors
    /// That of reading `/proc/PID/stat`: `NotFound` when there is no such process.
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Self::parse(&stat).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// The command name (field 2) may itself hold spaces and brackets, so count from its end.
    fn parse(stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        fields.split_whitespace().nth(19)?.parse().ok().map(Self)
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this code.
    Exited(u8),
    /// This signal killed it.
    Signalled(i32),
}

impl ExitStatus {
    pub(super) fn from_raw(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            return Self::Signalled(libc::WTERMSIG(status));
        }
        Self::Exited(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))
    }

    /// The code to show: its own, or 128 + signal.
    pub fn code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Signalled(signal) => 128_u8.saturating_add(u8::try_from(signal).unwrap_or(127)),
        }
    }
}

/// A process that was started by [`launch`](super::launch()) or [`exec`](super::exec()): a child of
/// the caller. Dropping it neither kills nor reaps.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    start: StartTime,
    pidfd: Option<OwnedFd>,
    cgroup: Option<Cgroup>,
    console: Option<OwnedFd>,
}

impl Process {
    pub(super) fn new(
        pid: u32,
        start: StartTime,
        pidfd: Option<OwnedFd>,
        cgroup: Option<Cgroup>,
        console: Option<OwnedFd>,
    ) -> Self {
        Self {
            pid,
            start,
            pidfd,
            cgroup,
            console,
        }
    }

    /// Process id in the caller's pid namespace.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Start time; with the pid, what to keep for [`Target`](super::Target).
    pub fn start(&self) -> StartTime {
        self.start
    }

    /// A pidfd (readable when the process has ended), where the kernel has them (5.3).
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(std::os::fd::AsFd::as_fd)
    }

    /// The cgroup that the launch made, to be removed by the caller after the end.
    pub fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.as_ref()
    }

    /// The master side of the terminal, once.
    pub fn take_console(&mut self) -> Option<OwnedFd> {
        self.console.take()
    }

    /// Waits for the end and reaps.
    ///
    /// # Errors
    /// `ECHILD` when it was reaped before.
    pub fn wait(&self) -> io::Result<ExitStatus> {
        Ok(ExitStatus::from_raw(signals::reap(self.raw_pid())?.status))
    }

    /// Reaps it if it has ended.
    ///
    /// # Errors
    /// `ECHILD` when it was reaped before.
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        let ended = signals::reap_now(self.raw_pid())?;
        Ok(ended.map(|ended| ExitStatus::from_raw(ended.status)))
    }

    /// Sends a signal to this very process.
    ///
    /// # Errors
    /// `ESRCH` when it was reaped before.
    pub fn kill(&self, signal: Signal) -> io::Result<()> {
        let signal = signal as i32;
        let sent = match &self.pidfd {
            Some(pidfd) => clone::pidfd_send_signal(pidfd.as_fd(), signal),
            None => Err(Errno::ENOSYS),
        };
        match sent {
            // As long as we have not reaped it, its id is not used again.
            Err(Errno::ENOSYS | Errno::EPERM) => Ok(signals::send(self.raw_pid(), signal)?),
            other => Ok(other?),
        }
    }

    fn raw_pid(&self) -> i32 {
        i32::try_from(self.pid).unwrap_or(i32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_found_behind_a_hostile_command_name() {
        let stat = "7 (a) R 1 (b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 2 3";
        assert_eq!(StartTime::parse(stat), Some(StartTime(4711)));
    }

    #[test]
    fn a_killed_process_shows_128_plus_signal() {
        assert_eq!(ExitStatus::Signalled(9).code(), 137);
        assert_eq!(ExitStatus::Exited(3).code(), 3);
    }
}
