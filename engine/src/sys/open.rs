//! openat2, for paths that must stay below a folder.
#![expect(unsafe_code, reason = "openat2")]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;

use super::newer::{self, Newer};

/// How links in a path are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// Followed, with the folder as their root: `..` and absolute targets stay inside.
    InRoot,
    /// Refused with `ELOOP`, wherever in the path.
    Refused,
}

#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
const RESOLVE_NO_SYMLINKS: u64 = 0x04;
const RESOLVE_IN_ROOT: u64 = 0x10;

/// Opens `path` as seen with `root` as `/` (Linux 5.6).
///
/// # Errors
/// The kernel's: `ENOSYS` when it lacks the call, `EAGAIN` when a rename raced with `..`.
pub(crate) fn open_in_root(
    root: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlag,
    links: Links,
) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlag::O_CLOEXEC;
    let how = OpenHow {
        flags: u64::try_from(flags.bits()).map_err(|_| Errno::EINVAL)?,
        mode: 0,
        resolve: RESOLVE_IN_ROOT
            | RESOLVE_NO_MAGICLINKS
            | match links {
                Links::InRoot => 0,
                Links::Refused => RESOLVE_NO_SYMLINKS,
            },
    };
    let root = usize::try_from(root.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    let args = [
        root,
        path.as_ptr() as usize,
        &raw const how as usize,
        size_of::<OpenHow>(),
        0,
    ];
    // SAFETY: `path` is terminated, `how` has the size given; both live over the call.
    let fd = unsafe { newer::call(Newer::Openat2, args) }?;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reads a link that was opened with `O_PATH | O_NOFOLLOW` into `target`, without allocating.
pub(crate) fn read_link<'a>(link: BorrowedFd<'_>, target: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    // SAFETY: pointer and length belong to one slice; the empty path means the descriptor itself.
    let read = unsafe {
        libc::readlinkat(
            link.as_raw_fd(),
            c"".as_ptr(),
            target.as_mut_ptr().cast(),
            target.len(),
        )
    };
    let read = usize::try_from(Errno::result(read)?).unwrap_or_default();
    if read >= target.len() {
        return Err(Errno::ENAMETOOLONG);
    }
    target.get(..read).ok_or(Errno::ENAMETOOLONG)
}

/// Whether the current folder can be reached from this process's root: the kernel then gives an
/// absolute path, else `(unreachable)…` or `ENOENT` (CVE-2024-21626).
pub(crate) fn current_folder_is_inside() -> Result<bool, Errno> {
    let mut path = [0_u8; 4096];
    // SAFETY: pointer and length belong to one buffer. The C library's getcwd would search for an
    // unreachable path itself, and allocate.
    let result = unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) };
    Errno::result(result)?;
    Ok(path.first() == Some(&b'/'))
}
