//! A socket of this machine that takes lines.

use std::io::{self, Write as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use crate::container::options::Address;

/// How long a log that does not take a line may keep the container waiting.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum Socket {
    Datagram(UnixDatagram),
    Stream(UnixStream),
}

/// Where lines go, connected anew when whoever takes them was restarted.
#[derive(Debug)]
pub(super) struct Line {
    address: Address,
    socket: Option<Socket>,
}

fn connect(address: &Address) -> io::Result<Socket> {
    match address {
        Address::Datagram(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok(Socket::Datagram(socket))
        }
        Address::Stream(path) => {
            let socket = UnixStream::connect(path)?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok(Socket::Stream(socket))
        }
    }
}

impl Line {
    /// Connects.
    pub(super) fn to(address: Address) -> io::Result<Self> {
        let socket = connect(&address)?;
        Ok(Self {
            address,
            socket: Some(socket),
        })
    }

    /// Sends a message; if that fails, once more over a new connection.
    pub(super) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        if self.try_send(message).is_ok() {
            return Ok(());
        }
        self.socket = None;
        self.try_send(message)
    }

    fn try_send(&mut self, message: &[u8]) -> io::Result<()> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            None => self.socket.insert(connect(&self.address)?),
        };
        match socket {
            Socket::Datagram(socket) => socket.send(message).map(drop),
            Socket::Stream(socket) => {
                socket.write_all(message)?;
                if message.ends_with(b"\n") {
                    return Ok(());
                }
                socket.write_all(b"\n")
            }
        }
    }
}
