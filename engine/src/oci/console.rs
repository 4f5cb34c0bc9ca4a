//! Handing a terminal over to the caller (`--console-socket`).

use std::io::IoSlice;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::Error;

/// Rows and columns that a process asks for.
pub(super) fn size(process: &oci_spec::runtime::Process) -> Option<(u16, u16)> {
    let size = process.console_size()?;
    let number = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
    Some((number(size.height()), number(size.width())))
}

/// Sends the master side over a socket, with a name as data, as runc does.
pub(super) fn send(master: &OwnedFd, socket: &Path) -> Result<(), Error> {
    let connection = UnixStream::connect(socket).map_err(Error::io("connect to", socket))?;
    let rights = [master.as_raw_fd()];
    let sent = sendmsg::<()>(
        connection.as_raw_fd(),
        &[IoSlice::new(b"/dev/ptmx")],
        &[ControlMessage::ScmRights(&rights)],
        MsgFlags::MSG_NOSIGNAL,
        None,
    );
    sent.map(drop)
        .map_err(Error::io("send the terminal to", socket))
}
