//! Signals for a small init, without allocation.
#![expect(unsafe_code, reason = "signal masks, waiting by number")]

use nix::errno::Errno;
use nix::libc;

/// Restores every signal to its default action and unblocks all: what a program expects to find.
pub(crate) fn reset() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL runs no code; SIGKILL, SIGSTOP and the C library's own are refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    set_mask(libc::SIG_SETMASK, Fill::Empty);
}

/// Blocks every signal, so that they can be waited for.
pub(crate) fn block_all() {
    set_mask(libc::SIG_SETMASK, Fill::Full);
}

#[derive(Clone, Copy)]
enum Fill {
    Empty,
    Full,
}

fn set_mask(how: i32, fill: Fill) {
    let set = match fill {
        Fill::Empty => 0_u64,
        Fill::Full => u64::MAX,
    };
    // The kernel's set has 64 bits on every architecture here, unlike the C library's.
    // SAFETY: `set` has the size given; a null old set is allowed.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            how,
            &raw const set,
            0_usize,
            size_of::<u64>(),
        )
    };
}

/// Waits for any signal, which must be blocked, and takes it.
pub(crate) fn wait_any() -> Result<i32, Errno> {
    let set = u64::MAX;
    // SAFETY: `set` has the size given; null information and time-out are allowed.
    let signal = unsafe {
        libc::syscall(
            libc::SYS_rt_sigtimedwait,
            &raw const set,
            0_usize,
            0_usize,
            size_of::<u64>(),
        )
    };
    Errno::result(signal).map(|signal| i32::try_from(signal).unwrap_or_default())
}

/// Holds SIGCHLD back, so that it can be waited for ([`await_child`]), until it is dropped.
pub(crate) struct HeldChildSignal {
    before: u64,
}

/// SIGCHLD in the kernel's set, where signal 1 is bit 0.
static CHILD: u64 = 1 << (libc::SIGCHLD - 1);

impl HeldChildSignal {
    pub(crate) fn new() -> Self {
        let mut before = 0_u64;
        // SAFETY: both sets have the size given and live over the call.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                libc::SIG_BLOCK,
                &raw const CHILD,
                &raw mut before,
                size_of::<u64>(),
            )
        };
        Self { before }
    }
}

impl Drop for HeldChildSignal {
    fn drop(&mut self) {
        // SAFETY: the set has the size given and lives over the call; a null old set is allowed.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                libc::SIG_SETMASK,
                &raw const self.before,
                0_usize,
                size_of::<u64>(),
            )
        };
    }
}

/// Waits until SIGCHLD, which must be held back, has come; for as long as `timeout` says.
///
/// # Errors
/// `EAGAIN`: it has not come. `EINTR`: another signal has.
pub(crate) fn await_child(timeout: Option<std::time::Duration>) -> Result<(), Errno> {
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: i32::try_from(timeout.subsec_nanos())
            .unwrap_or_default()
            .into(),
    });
    let limit = timeout
        .as_ref()
        .map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: set and time live over the call; null information and a null time are allowed.
    let signal = unsafe {
        libc::syscall(
            libc::SYS_rt_sigtimedwait,
            &raw const CHILD,
            0_usize,
            limit,
            size_of::<u64>(),
        )
    };
    Errno::result(signal).map(drop)
}

/// How a child ended: its process id and raw wait status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) pid: i32,
    pub(crate) status: i32,
}

/// Reaps one ended child, if there is one (`pid` -1: any). `None` when none has ended.
pub(crate) fn reap_now(pid: i32) -> Result<Option<Ended>, Errno> {
    wait4(pid, libc::WNOHANG)
}

/// Waits for a child and reaps it.
pub(crate) fn reap(pid: i32) -> Result<Ended, Errno> {
    loop {
        match wait4(pid, 0) {
            Ok(Some(ended)) => return Ok(ended),
            Ok(None) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn wait4(pid: i32, options: i32) -> Result<Option<Ended>, Errno> {
    let mut status = 0;
    // SAFETY: `status` lives over the call; a null rusage is allowed.
    let result = unsafe {
        libc::wait4(
            pid,
            &raw mut status,
            options | libc::__WALL,
            std::ptr::null_mut(),
        )
    };
    let pid = Errno::result(result)?;
    Ok((pid > 0).then_some(Ended { pid, status }))
}

/// Sends a signal to a process; -1 is everything that may be signalled.
pub(crate) fn send(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    let result = unsafe { libc::kill(pid, signal) };
    Errno::result(result).map(drop)
}
