//! Child processes: what they inherit, when they die, what they used.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid, setsid};

/// Starts `command` so that it inherits `fds` under their numbers, and is killed when the
/// *thread* that calls this ends, however it ends (`PR_SET_PDEATHSIG`, prctl(2)).
pub(crate) fn spawn_tied(command: &mut Command, fds: &[OwnedFd]) -> io::Result<Child> {
    let parent = getpid();
    let numbers: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let hook = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before the line above.
        if getppid() != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        for &number in &numbers {
            // SAFETY: the caller's `fds` are open, and this process is its copy.
            let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        Ok(())
    };
    // SAFETY: the hook only makes system calls and touches memory allocated before the fork,
    // so it may run in the copy of a process with other threads.
    unsafe { command.pre_exec(hook) };
    command.spawn()
}

/// A child's number, as system calls take it.
pub(crate) fn pid(child: &Child) -> Pid {
    // Numbers are below 2^22 (`PID_MAX_LIMIT`, include/linux/threads.h); the largest is nobody's.
    Pid::from_raw(libc::pid_t::try_from(child.id()).unwrap_or(libc::pid_t::MAX))
}

/// How a program of the agent's is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminal {
    /// Its standard streams are pipes.
    None,
    /// Its standard input is a terminal, which is to control its session.
    OnInput,
}

/// Starts `command` in a session of its own, at the usual priority and as likely as any other
/// to be killed when memory runs out, whatever this process has set for itself. It is killed
/// when the *thread* that calls this ends.
pub(crate) fn spawn_session(command: &mut Command, terminal: Terminal) -> io::Result<Child> {
    let hook = move || {
        setsid()?;
        if terminal == Terminal::OnInput {
            super::terminal::control_from_input()?;
        }
        set_priority_of(Pid::from_raw(0), 0)?;
        reset_oom_score();
        Ok(())
    };
    // SAFETY: the hook only makes system calls and allocates nothing, so it may run in the copy
    // of a process with other threads.
    unsafe { command.pre_exec(hook) };
    spawn_tied(command, &[])
}

/// Makes this process no special candidate when memory runs out. Lowering is what needs a
/// privilege, so a failure means that there was nothing to reset.
fn reset_oom_score() {
    if let Ok(file) = nix::fcntl::open(
        "/proc/self/oom_score_adj",
        nix::fcntl::OFlag::O_WRONLY,
        nix::sys::stat::Mode::empty(),
    ) {
        let _best_effort = nix::unistd::write(&file, b"0");
    }
}

/// Sets the priority (nice value) of a process; 0 is this one.
pub(crate) fn set_priority_of(pid: Pid, nice: i32) -> io::Result<()> {
    let pid = libc::id_t::try_from(pid.as_raw()).map_err(io::Error::other)?;
    // SAFETY: setpriority(2) takes no pointers.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, pid, nice) };
    nix::errno::Errno::result(result)?;
    Ok(())
}

/// How a child ended: its wait status, and what it and its waited-for descendants used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    /// As `wait4` gives it.
    pub(crate) status: i32,
    /// Processor time in user mode, in microseconds.
    pub(crate) user_us: u64,
    /// Processor time in the kernel, in microseconds.
    pub(crate) system_us: u64,
    /// In KiB.
    pub(crate) max_rss_kib: u64,
}

/// Waits for the child `pid` and reaps it.
pub(crate) fn wait_with_usage(pid: Pid) -> nix::Result<Ended> {
    let mut status = 0;
    // SAFETY: rusage is a struct of integers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live locals of the right types.
        let result = unsafe { libc::wait4(pid.as_raw(), &raw mut status, 0, &raw mut usage) };
        match nix::errno::Errno::result(result) {
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    let microseconds = |time: libc::timeval| {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        seconds * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0)
    };
    Ok(Ended {
        status,
        user_us: microseconds(usage.ru_utime),
        system_us: microseconds(usage.ru_stime),
        max_rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
    })
}

/// Sends a signal, of which only the number is known, to a process group.
pub(crate) fn signal_group(leader: Pid, signal: i32) -> nix::Result<()> {
    // SAFETY: kill(2) takes no pointers.
    let result = unsafe { libc::kill(-leader.as_raw(), signal) };
    nix::errno::Errno::result(result)?;
    Ok(())
}
