//! Making processes: clone3 with its fallback, and namespaces.
#![expect(unsafe_code, reason = "clone and pidfd calls")]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;

use super::newer::{self, Newer};

/// Which side of a clone this is.
#[derive(Debug)]
pub(crate) enum Side {
    /// The new process. It may only make system calls and touch what was prepared: another
    /// thread of the parent may have held the allocator's lock.
    Child,
    /// The caller.
    Parent {
        /// The child's process id in the caller's pid namespace.
        pid: u32,
        /// Its pidfd, from Linux 5.2 on.
        pidfd: Option<OwnedFd>,
    },
}

/// What a clone should do beyond copying the process.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// `CLONE_NEW*` flags.
    pub(crate) namespaces: u64,
    /// A folder of the unified cgroup hierarchy to be born in (Linux 5.7).
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
    /// Whose child it becomes.
    pub(crate) parent: Parent,
}

/// Whose child a clone becomes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parent {
    /// The caller's.
    #[default]
    Caller,
    /// The caller's parent's (`CLONE_PARENT`).
    Grandparent,
}

#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const PIDFD: u64 = 0x1000;
const PARENT: u64 = 0x8000;
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// Clones the process with a copy of its memory, as fork does.
///
/// Returns [`Errno::ENOSYS`] when a cgroup was asked for and this kernel cannot be born into one:
/// the caller then asks again without it and moves the child.
pub(crate) fn clone(request: Request<'_>) -> Result<Side, Errno> {
    match clone3(request) {
        // EPERM: an outer seccomp filter that does not know clone3 (runc before 1.0).
        Err(Errno::ENOSYS | Errno::EPERM) if request.cgroup.is_none() => clone2(request),
        // Before 5.7 the larger structure is refused with E2BIG, the flag with EINVAL.
        Err(Errno::E2BIG | Errno::EINVAL | Errno::EPERM) if request.cgroup.is_some() => {
            Err(Errno::ENOSYS)
        }
        other => other,
    }
}

fn clone3(request: Request<'_>) -> Result<Side, Errno> {
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: request.namespaces | PIDFD,
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if request.parent == Parent::Grandparent {
        // The exit signal is then that of the caller itself and must not be given.
        args.flags |= PARENT;
        args.exit_signal = 0;
    }
    let mut size = std::mem::offset_of!(CloneArgs, set_tid);
    if let Some(cgroup) = request.cgroup {
        args.flags |= INTO_CGROUP;
        args.cgroup = u64::try_from(cgroup.as_raw_fd()).map_err(|_| Errno::EBADF)?;
        size = size_of::<CloneArgs>();
    }
    // SAFETY: `args` lives over the call and has `size` valid bytes; without CLONE_VM and without
    // a stack the child runs on its own copy of this one.
    let pid = unsafe { newer::call(Newer::Clone3, [&raw const args as usize, size, 0, 0, 0]) }?;
    Ok(side(pid, pidfd))
}

fn clone2(request: Request<'_>) -> Result<Side, Errno> {
    let mut pidfd: RawFd = -1;
    let mut flags = request.namespaces | libc::SIGCHLD as u64;
    if request.parent == Parent::Grandparent {
        flags |= PARENT;
    }
    // Kernels before 5.2 ignore or refuse CLONE_PIDFD, so it is not asked for here.
    // SAFETY: a null stack without CLONE_VM means a copy of this one; the remaining arguments
    // are not looked at without their flags.
    let result =
        unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) };
    let pid = Errno::result(result)?;
    if pid > 0 {
        pidfd = pidfd_open_raw(u32::try_from(pid).unwrap_or_default()).unwrap_or(-1);
    }
    Ok(side(usize::try_from(pid).unwrap_or_default(), pidfd))
}

fn side(pid: usize, pidfd: RawFd) -> Side {
    if pid == 0 {
        return Side::Child;
    }
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    let pidfd = (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) });
    Side::Parent {
        pid: u32::try_from(pid).unwrap_or_default(),
        pidfd,
    }
}

fn pidfd_open_raw(pid: u32) -> Result<RawFd, Errno> {
    // SAFETY: no pointers.
    let fd = unsafe { newer::call(Newer::PidfdOpen, [pid as usize, 0, 0, 0, 0]) }?;
    RawFd::try_from(fd).map_err(|_| Errno::EBADF)
}

/// A pidfd of a process (Linux 5.3).
pub(crate) fn pidfd_open(pid: u32) -> Result<OwnedFd, Errno> {
    let fd = pidfd_open_raw(pid)?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a signal to the process of a pidfd (Linux 5.1).
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    let fd = usize::try_from(pidfd.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    let signal = usize::try_from(signal).map_err(|_| Errno::EINVAL)?;
    // SAFETY: a null siginfo is allowed.
    unsafe { newer::call(Newer::PidfdSendSignal, [fd, signal, 0, 0, 0]) }.map(drop)
}

/// Leaves the process at once, without running destructors or exit handlers.
pub(crate) fn exit_now(code: u8) -> ! {
    // SAFETY: ends the process; nothing of it is used afterwards.
    unsafe { libc::_exit(i32::from(code)) }
}
