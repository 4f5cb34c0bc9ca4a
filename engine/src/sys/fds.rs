//! Descriptors: sealing all of them, and those that were inherited by number.
#![expect(unsafe_code, reason = "close_range, fcntl, descriptors by number")]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

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
            seal_listed(first, folder)
        }
        (Err(errno), _) => Err(errno),
    }
}

/// Closes every descriptor from `first` on, whoever owns it: for a process that keeps none.
pub(crate) fn close_from(first: RawFd) -> Result<(), Errno> {
    let from = usize::try_from(first).map_err(|_| Errno::EBADF)?;
    // SAFETY: the caller uses no descriptor from `first` on afterwards, so no owner is deceived.
    let closed = unsafe { newer::call(Newer::CloseRange, [from, u32::MAX as usize, 0, 0, 0]) };
    if closed.is_err() {
        // Before 5.9: the customary limit; whatever is above is close-on-exec for the program.
        for fd in first..1024 {
            // SAFETY: as above.
            unsafe { libc::close(fd) };
        }
    }
    Ok(())
}

/// Reads the folder with a buffer of its own: the child must not allocate.
fn seal_listed(first: RawFd, folder: BorrowedFd<'_>) -> Result<(), Errno> {
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
            if let Some(fd) = parse_fd(name).filter(|fd| *fd >= first) {
                // SAFETY: changes one flag; a descriptor that is gone meanwhile gives EBADF.
                unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
            }
        }
    }
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

/// Takes over a descriptor that a control message has just brought.
pub(crate) fn received(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has put it into this process's table with the message; nobody else knows it.
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
