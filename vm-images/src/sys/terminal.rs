//! Terminals.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;

/// Makes the terminal on standard input the controlling one of this session.
pub(super) fn control_from_input() -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes an integer; descriptor 0 need not even be open.
    let result = unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) };
    Errno::result(result)?;
    Ok(())
}

/// Sets the size of the terminal whose controlling end is `fd`.
pub(crate) fn set_size(fd: BorrowedFd<'_>, rows: u16, columns: u16) -> io::Result<()> {
    let size = libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCSWINSZ reads one winsize, which lives until the call returns.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    Errno::result(result)?;
    Ok(())
}
