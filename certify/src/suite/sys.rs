//! A descriptor that children inherit. The standard library and nix only make ones that
//! they don't.
#![expect(
    unsafe_code,
    reason = "F_DUPFD gives a raw number; owning it is a claim"
)]

use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

/// A copy of `fd`, numbered 100 or above, that stays open across `execve`.
pub(super) fn inheritable(fd: impl AsFd) -> Result<OwnedFd, Errno> {
    let number = fcntl(fd.as_fd(), FcntlArg::F_DUPFD(100))?;
    // SAFETY: the kernel has just made this descriptor, and nothing else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
