//! A QEMU process, whose life is never longer than this one's.
//!
//! The kernel kills it when the thread that started it ends (`PR_SET_PDEATHSIG`). So each has a
//! thread of its own, which waits for its end; and whatever ends this process, `SIGKILL`
//! included, ends that thread.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{ChildStderr, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::sync::oneshot;

use crate::sys;

/// A process that runs. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Process {
    /// Set until it has been reaped: until then, the number is its own.
    pid: Arc<Mutex<Option<Pid>>>,
}

/// What a start gives.
pub(super) struct Started {
    pub(super) process: Process,
    pub(super) stderr: Option<ChildStderr>,
    /// Its exit status in words, when it has ended.
    pub(super) ended: oneshot::Receiver<String>,
}

fn lock(pid: &Mutex<Option<Pid>>) -> MutexGuard<'_, Option<Pid>> {
    pid.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts `command`, which inherits `fds` under their numbers.
pub(super) async fn start(mut command: Command, fds: Vec<OwnedFd>) -> io::Result<Started> {
    let (started, starts) = oneshot::channel();
    let (ends, ended) = oneshot::channel();
    let supervise = move || {
        let mut child = match sys::child::spawn_tied(&mut command, &fds) {
            Ok(child) => child,
            Err(error) => return drop(started.send(Err(error))),
        };
        // With this side's copies open, the end of the other side would never be seen.
        drop(fds);
        let number = sys::child::pid(&child);
        let pid = Arc::new(Mutex::new(Some(number)));
        let process = Process { pid: pid.clone() };
        // If nobody waits for the start any more, the process is dropped here, and so killed.
        drop(started.send(Ok((process, child.stderr.take()))));
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(number), flags) == Err(Errno::EINTR) {}
        let mut pid = lock(&pid);
        *pid = None;
        let status = match child.wait() {
            Ok(status) => status.to_string(),
            Err(error) => format!("its status is unknown: {error}"),
        };
        drop(pid);
        // Nobody may be interested.
        drop(ends.send(status));
    };
    thread::Builder::new()
        .name("qemu".to_owned())
        .stack_size(128 * 1024)
        .spawn(supervise)?;
    let (process, stderr) = starts
        .await
        .map_err(|_| io::Error::other("the supervising thread ended"))??;
    Ok(Started {
        process,
        stderr,
        ended,
    })
}

impl Process {
    /// Kills it, if it has not ended.
    pub(super) fn kill(&self) {
        if let Some(pid) = *lock(&self.pid) {
            // It may be a zombie already.
            let _ended = kill(pid, Signal::SIGKILL);
        }
    }

    /// Its number, while it runs.
    pub(super) fn id(&self) -> Option<i32> {
        lock(&self.pid).map(Pid::as_raw)
    }
}

/// How long a process was ready to run and the host ran others, by the worst of its threads:
/// the second number of `/proc/PID/task/TID/schedstat` (`Documentation/scheduler/sched-stats`),
/// in nanoseconds. Zero where the kernel does not tell.
pub(super) fn kept_waiting(pid: i32) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Duration::ZERO;
    };
    let waits = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        waited(&text)
    });
    waits.max().unwrap_or_default()
}

fn waited(schedstat: &str) -> Option<Duration> {
    let nanoseconds = schedstat.split_whitespace().nth(1)?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_the_second_number_of_schedstat() {
        let waiting = waited("8127442 2500000000 13\n");
        assert_eq!(waiting, Some(Duration::from_millis(2500)));
        assert_eq!(waited(""), None);
        assert_eq!(kept_waiting(-1), Duration::ZERO);
    }
}
