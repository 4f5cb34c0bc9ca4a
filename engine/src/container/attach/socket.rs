//! The socket of a running container: a file in its folder, never an abstract name, which anybody
//! in the host's network namespace could connect to (CVE-2020-15257).

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, connect,
    getsockopt, listen, recv, send, socket, socketpair, sockopt,
};
use nix::sys::stat::Mode;
use nix::unistd::geteuid;

use super::frame::{MAX, Notice, Request};
use crate::sys::fds;

const NAME: &str = "attach.sock";
const WAITING: i32 = 64;

/// A folder as a short path: addresses of sockets have 107 bytes at most. It stays the same folder
/// when that is renamed.
struct Place {
    folder: OwnedFd,
}

impl Place {
    fn open(folder: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = open(folder, flags, Mode::empty())?;
        Ok(Self { folder })
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{NAME}", self.folder.as_raw_fd()))
    }
}

/// Makes the socket of a container. One that a killed monitor left is replaced.
pub(in crate::container) fn make(folder: &Path) -> io::Result<OwnedFd> {
    let place = Place::open(folder)?;
    let path = place.path();
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = new_socket()?;
    bind(listener.as_raw_fd(), &UnixAddr::new(&path)?)?;
    // The folder is for its owner alone already.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    listen(&listener, Backlog::new(WAITING)?)?;
    Ok(listener)
}

fn new_socket() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)
}

/// A connection.
#[derive(Debug)]
pub(in crate::container) struct Connection(OwnedFd);

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// A message of so many bytes.
    Message(usize),
    /// Nothing yet.
    Nothing,
    /// The other has gone.
    End,
}

impl Connection {
    /// Both ends of a new one.
    pub(in crate::container) fn pair() -> io::Result<(Self, Self)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Self(one), Self(other)))
    }

    /// One that was inherited. `None`: it is no such socket.
    pub(in crate::container) fn inherited(fd: OwnedFd) -> Option<Self> {
        let kind = getsockopt(&fd, sockopt::SockType);
        (kind == Ok(SockType::SeqPacket)).then_some(Self(fd))
    }

    /// Connects to the monitor of a container.
    pub(in crate::container) fn to(folder: &Path) -> io::Result<Self> {
        let place = Place::open(folder)?;
        let socket = new_socket()?;
        connect(socket.as_raw_fd(), &UnixAddr::new(&place.path())?)?;
        Self::trusted(socket)
    }

    /// Takes a waiting connection. `None`: there is none (any more).
    pub(super) fn accept(listener: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        match accept4(listener.as_raw_fd(), flags) {
            Ok(socket) => Self::trusted(fds::received(socket)).map(Some),
            Err(Errno::EAGAIN | Errno::ECONNABORTED | Errno::EINTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Only root, and whoever runs the container, is talked to, should the folder's permissions
    /// ever be changed.
    fn trusted(socket: OwnedFd) -> io::Result<Self> {
        let peer = getsockopt(&socket, sockopt::PeerCredentials)?;
        if peer.uid() == 0 || peer.uid() == geteuid().as_raw() {
            Ok(Self(socket))
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }

    pub(super) fn send_notice(&self, notice: &Notice<'_>, buffer: &mut Vec<u8>) -> nix::Result<()> {
        notice.encode(buffer);
        self.send(buffer)
    }

    pub(super) fn send_request(
        &self,
        request: Request<'_>,
        buffer: &mut Vec<u8>,
    ) -> nix::Result<()> {
        request.encode(buffer);
        self.send(buffer)
    }

    /// `EAGAIN`: the other has not read what came before.
    fn send(&self, message: &[u8]) -> nix::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        send(self.0.as_raw_fd(), message, flags).map(drop)
    }

    pub(super) fn receive(&self, buffer: &mut [u8; MAX]) -> nix::Result<Received> {
        loop {
            match recv(self.0.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return Ok(Received::End),
                Ok(length) => return Ok(Received::Message(length)),
                // Said once by the kernel when the other has gone without having read all that we
                // sent; what it said itself is there all the same, behind this.
                Err(Errno::ECONNRESET | Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(Received::Nothing),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// To be handed to another process.
    pub(in crate::container) fn into_fd(self) -> OwnedFd {
        self.0
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_any_length_has_a_socket_that_is_a_file_for_its_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("n".repeat(200));
        fs::create_dir(&folder).unwrap();
        let listener = make(&folder).unwrap();
        let again = make(&folder).unwrap();
        drop(listener);
        let mode = fs::metadata(folder.join(NAME))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let client = Connection::to(&folder).unwrap();
        let server = Connection::accept(again.as_fd()).unwrap().unwrap();
        let mut buffer = Vec::new();
        client.send_request(Request::InputEnd, &mut buffer).unwrap();
        let mut message = [0; MAX];
        assert_eq!(server.receive(&mut message), Ok(Received::Message(1)));
        assert_eq!(server.receive(&mut message), Ok(Received::Nothing));
        drop(client);
        assert_eq!(server.receive(&mut message), Ok(Received::End));
    }

    #[test]
    fn last_words_are_heard_of_one_that_did_not_listen() {
        let (one, other) = Connection::pair().unwrap();
        let mut buffer = Vec::new();
        one.send_request(Request::InputEnd, &mut buffer).unwrap();
        other.send_notice(&Notice::Exit(3), &mut buffer).unwrap();
        drop(other);
        let mut message = [0; MAX];
        assert_eq!(one.receive(&mut message), Ok(Received::Message(2)));
        assert_eq!(one.receive(&mut message), Ok(Received::End));
    }
}
