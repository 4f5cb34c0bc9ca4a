//! Descriptors: sealing and closing all of them, and those that were inherited by number.
#![expect(unsafe_code, reason = "close_range, fcntl, descriptors by number")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::stat::Mode;

use super::newer::{self, Newer};

const CLOSE_RANGE_CLOEXEC: usize = 4;

/// Marks every descriptor from `first` on close-on-exec.
///
/// Before Linux 5.11 (`CLOSE_RANGE_CLOEXEC`) the folder `descriptors` (`/proc/self/fd`, opened by
/// the caller from a procfs that it trusts) tells which there are.
pub(crate) fn seal_from(first: RawFd, descriptors: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let from = usize::try_from(first).map_err(|_| Errno::EBADF)?;
    // SAFETY: changes flags of descriptors only.
    let sealed = unsafe {
        newer::call(
            Newer::CloseRange,
            [from, u32::MAX as usize, CLOSE_RANGE_CLOEXEC, 0, 0],
        )
    };
    match (sealed, descriptors) {
        (Ok(_), _) => Ok(()),
        (Err(Errno::ENOSYS | Errno::EINVAL | Errno::EPERM), Some(folder)) => {
            for_each_listed(folder, |fd| {
                if fd >= first {
                    // SAFETY: changes one flag; a descriptor that is gone meanwhile gives EBADF.
                    unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
                }
            })
        }
        (Err(errno), _) => Err(errno),
    }
}

/// Closes every descriptor behind the streams and the `preserved` ones after them, but `kept`,
/// whoever owns it: for a process that uses no other any more, and that never drops an owner. The
/// preserved ones stay open over an execve.
///
/// Before Linux 5.9 (`close_range`) the folder `self/fd` of `proc`, a procfs that the caller
/// trusts, tells which there are.
pub(crate) fn close_all_but(
    preserved: u16,
    kept: BorrowedFd<'_>,
    proc: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let first = FIRST + RawFd::from(preserved);
    for fd in FIRST..first {
        // SAFETY: changes one flag.
        Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) })?;
    }
    let kept = kept.as_raw_fd();
    let closed = close_range(first, kept.saturating_sub(1))
        .and_then(|()| close_range(kept.saturating_add(1).max(first), RawFd::MAX));
    match closed {
        // EPERM: the filter of an engine around this one.
        Err(Errno::ENOSYS | Errno::EPERM) => close_listed(first, kept, proc),
        other => other,
    }
}

/// Whether the `preserved` descriptors behind the streams are open.
pub(crate) fn are_open(preserved: u16) -> bool {
    // SAFETY: asks for flags only.
    let open = |fd: RawFd| unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0;
    (FIRST..FIRST + RawFd::from(preserved)).all(open)
}

/// The first descriptor behind the streams.
const FIRST: RawFd = 3;

fn close_range(first: RawFd, last: RawFd) -> Result<(), Errno> {
    if first > last {
        return Ok(());
    }
    let bound = |fd| usize::try_from(fd).map_err(|_| Errno::EBADF);
    let args = [bound(first)?, bound(last)?, 0, 0, 0];
    // SAFETY: the caller uses none of these afterwards, so no owner is deceived.
    unsafe { newer::call(Newer::CloseRange, args) }.map(drop)
}

fn close_listed(first: RawFd, kept: RawFd, proc: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let folder = nix::fcntl::openat(proc, c"self/fd", flags, Mode::empty())?;
    let own = folder.as_raw_fd();
    for_each_listed(folder.as_fd(), |fd| {
        if fd >= first && fd != kept && fd != own {
            // SAFETY: as in `close_range`. The kernel lists by number, so that what is closed
            // meanwhile moves nothing.
            unsafe { libc::close(fd) };
        }
    })
}

/// Reads the folder with a buffer of its own: the child must not allocate.
fn for_each_listed(folder: BorrowedFd<'_>, act: impl Fn(RawFd)) -> Result<(), Errno> {
    let mut buffer = [0_u8; 4096];
    loop {
        // SAFETY: pointer and length belong to one buffer.
        let read = unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                folder.as_raw_fd(),
                buffer.as_mut_ptr(),
                buffer.len(),
            )
        };
        let read = usize::try_from(Errno::result(read)?).unwrap_or_default();
        if read == 0 {
            return Ok(());
        }
        let mut entries = buffer.get(..read).unwrap_or_default();
        while let Some((name, rest)) = next_entry(entries) {
            entries = rest;
            if let Some(fd) = parse_fd(name) {
                act(fd);
            }
        }
    }
}

/// Closes a descriptor whose owner is never dropped.
pub(crate) fn close_forgotten(fd: BorrowedFd<'_>) {
    // SAFETY: the caller never uses it again, nor drops its owner.
    unsafe { libc::close(fd.as_raw_fd()) };
}

/// Standard input, without the standard library's lock and buffer.
pub(crate) fn standard_input() -> BorrowedFd<'static> {
    // SAFETY: nothing in this program closes stream 0; were it closed, calls would give EBADF.
    unsafe { BorrowedFd::borrow_raw(libc::STDIN_FILENO) }
}

/// `struct linux_dirent64`: inode (8), offset (8), length (2), type (1), name.
fn next_entry(entries: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(u16::from_ne_bytes([*entries.get(16)?, *entries.get(17)?]));
    let name = entries.get(19..length)?;
    let end = name.iter().position(|byte| *byte == 0)?;
    Some((name.get(..end)?, entries.get(length..)?))
}

fn parse_fd(name: &[u8]) -> Option<RawFd> {
    std::str::from_utf8(name).ok()?.parse().ok()
}

/// Makes `fd` the standard stream `number` (0, 1 or 2), inherited by what is executed.
pub(crate) fn become_stream(fd: BorrowedFd<'_>, number: RawFd) -> Result<(), Errno> {
    if fd.as_raw_fd() == number {
        // SAFETY: changes one flag of a valid descriptor.
        let result = unsafe { libc::fcntl(number, libc::F_SETFD, 0) };
        return Errno::result(result).map(drop);
    }
    // SAFETY: standard streams are not owned by anything in this process.
    let result = unsafe { libc::dup2(fd.as_raw_fd(), number) };
    Errno::result(result).map(drop)
}

/// Makes standard output the same as standard error.
pub(crate) fn error_as_output() -> Result<(), Errno> {
    // SAFETY: standard streams are not owned by anything in this process.
    let result = unsafe { libc::dup2(libc::STDERR_FILENO, libc::STDOUT_FILENO) };
    Errno::result(result).map(drop)
}

/// Takes over a descriptor that a call or a control message has just brought, or whoever executed
/// this program.
pub(crate) fn received(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just put it into this process's table; nobody else here knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Opens without allocating, and without the `O_LARGEFILE` surprises of wrappers.
pub(crate) fn write_once(
    at: BorrowedFd<'_>,
    name: &std::ffi::CStr,
    data: &[u8],
) -> Result<(), Errno> {
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let file = nix::fcntl::openat(at, name, flags, Mode::empty())?;
    match nix::unistd::write(&file, data)? {
        written if written == data.len() => Ok(()),
        _ => Err(Errno::EIO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a child, as it closes what the test's other threads use.
    #[test]
    fn without_close_range_all_but_the_kept_one_are_closed_too() {
        let proc = std::fs::File::open("/proc").expect("procfs");
        let high = nix::fcntl::fcntl(&proc, nix::fcntl::FcntlArg::F_DUPFD(1000)).expect("a copy");
        let high = received(high);
        let kept = high.try_clone().expect("a copy");
        let child = match crate::sys::clone::clone(crate::sys::clone::Request::default()) {
            Ok(crate::sys::clone::Side::Child) => {
                let closed = close_listed(FIRST, kept.as_raw_fd(), proc.as_fd()).is_ok();
                // SAFETY: asks for flags only.
                let open = |fd: RawFd| unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0;
                let gone = !open(high.as_raw_fd()) && !open(proc.as_raw_fd());
                let right = closed && gone && open(kept.as_raw_fd());
                crate::sys::clone::exit_now(u8::from(!right));
            }
            Ok(crate::sys::clone::Side::Parent { pid, .. }) => pid,
            Err(errno) => panic!("{errno}"),
        };
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child).expect("an id"));
        assert_eq!(
            nix::sys::wait::waitpid(pid, None),
            Ok(nix::sys::wait::WaitStatus::Exited(pid, 0))
        );
    }

    #[test]
    fn folder_entries_are_read_as_the_kernel_writes_them() {
        let mut raw = vec![0_u8; 24];
        raw[16] = 24;
        raw[19..21].copy_from_slice(b"17");
        let (name, rest) = next_entry(&raw).expect("one entry");
        assert_eq!(parse_fd(name), Some(17));
        assert!(next_entry(rest).is_none());
    }
}
