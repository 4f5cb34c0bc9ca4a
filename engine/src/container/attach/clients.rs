//! The monitor's side: everybody who is attached, and the door for more.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::frame::{MAX, Notice, Request};
use super::socket::{Connection, Received};
use crate::container::monitor::Refusal;

/// No more than this many at once: each costs a descriptor.
const MOST: usize = 64;

/// How long somebody who does not read may keep us waiting when the container has ended.
pub(in crate::container) const LAST_WORDS: Duration = Duration::from_secs(10);

/// Everybody who is attached to a container.
#[derive(Debug, Default)]
pub(in crate::container) struct Clients {
    door: Option<OwnedFd>,
    connected: Vec<Connection>,
    buffer: Vec<u8>,
}

/// Something that somebody who is attached wants.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::container) enum Wish {
    /// This goes to the container's standard input.
    Input(Vec<u8>),
    /// Its standard input ends.
    InputEnd,
    /// Its terminal has another size: rows and columns.
    Size(u16, u16),
}

/// What to do about somebody who does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::container) enum Patience {
    /// Wait on.
    GoOn,
    /// Leave them behind.
    GiveUp,
}

impl Clients {
    /// Those of a container that is just being started.
    pub(in crate::container) fn new(door: Option<OwnedFd>, first: Option<Connection>) -> Self {
        Self {
            door,
            connected: first.into_iter().collect(),
            buffer: Vec::new(),
        }
    }

    /// Whether nobody is attached nor can be.
    pub(in crate::container) fn are_impossible(&self) -> bool {
        self.door.is_none() && self.connected.is_empty()
    }

    /// The door, while there is room.
    pub(in crate::container) fn door(&self) -> Option<&OwnedFd> {
        self.door.as_ref().filter(|_| self.connected.len() < MOST)
    }

    pub(in crate::container) fn connected(&self) -> &[Connection] {
        &self.connected
    }

    /// Lets in whoever waits at the door, as long as there is room. Who may not come in, or left,
    /// is no failure.
    pub(in crate::container) fn admit(&mut self) {
        while let Some(door) = self.door() {
            match Connection::accept(door.as_fd()) {
                Ok(Some(new)) => self.connected.push(new),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                Ok(None) | Err(_) => break,
            }
        }
    }

    /// The next thing that a client wants. One that left, or talks nonsense, is let go.
    pub(in crate::container) fn wish_of(&mut self, index: usize) -> Option<Wish> {
        let mut message = [0; MAX];
        let wish = match self.connected.get(index)?.receive(&mut message) {
            Ok(Received::Nothing) => return None,
            Ok(Received::Message(length)) => {
                match message.get(..length).and_then(Request::decode) {
                    Some(Request::Input(bytes)) => Some(Wish::Input(bytes.to_vec())),
                    Some(Request::InputEnd) => Some(Wish::InputEnd),
                    Some(Request::Size { rows, columns }) => Some(Wish::Size(rows, columns)),
                    None => None,
                }
            }
            Ok(Received::End) | Err(_) => None,
        };
        if wish.is_none() {
            drop(self.connected.remove(index));
        }
        wish
    }

    /// Tells everybody. While somebody has not read what came before, `wait` is called, which
    /// returns when they may have, or with what to do about them.
    pub(in crate::container) fn tell(
        &mut self,
        notice: &Notice<'_>,
        mut wait: impl FnMut(&Connection) -> io::Result<Patience>,
    ) -> io::Result<()> {
        let mut index = 0;
        while let Some(client) = self.connected.get(index) {
            match client.send_notice(notice, &mut self.buffer) {
                Ok(()) => index += 1,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) if wait(client)? == Patience::GoOn => {}
                Err(_) => drop(self.connected.remove(index)),
            }
        }
        Ok(())
    }

    /// Tells everybody that it is over, and with what code, and lets them go.
    pub(in crate::container) fn dismiss(self, code: u8) {
        self.say_last(&Notice::Exit(code));
    }

    /// Tells everybody why nothing was started, and lets them go.
    pub(in crate::container) fn refuse(self, refusal: Refusal) {
        self.say_last(&Notice::Refused(refusal));
    }

    /// Who does not read will find out by our end.
    fn say_last(mut self, notice: &Notice<'_>) {
        let told = self.tell(notice, |client| {
            let mut polled = [PollFd::new(client.as_fd(), PollFlags::POLLOUT)];
            let found = poll(
                &mut polled,
                PollTimeout::try_from(LAST_WORDS).unwrap_or(PollTimeout::MAX),
            )?;
            Ok(if found == 0 {
                Patience::GiveUp
            } else {
                Patience::GoOn
            })
        });
        drop(told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::logs::Stream;

    fn receive(client: &Connection) -> Option<Vec<u8>> {
        let mut message = [0; MAX];
        match client.receive(&mut message).unwrap() {
            Received::Message(length) => Some(message[..length].to_vec()),
            Received::Nothing | Received::End => None,
        }
    }

    #[test]
    fn everybody_hears_everything_and_who_does_not_read_can_be_left_behind() {
        let (server, reader) = Connection::pair().unwrap();
        let (other, sleeper) = Connection::pair().unwrap();
        let mut clients = Clients::new(None, Some(server));
        clients.connected.push(other);
        let chunk = vec![b'x'; MAX - 1];
        let mut heard = 0;
        while clients.connected().len() == 2 {
            let notice = Notice::Output(Stream::Stdout, &chunk);
            clients.tell(&notice, |_| Ok(Patience::GiveUp)).unwrap();
            assert_eq!(receive(&reader).unwrap().len(), MAX);
            heard += 1;
        }
        assert!(heard > 1);
        let before = (0..).map_while(|_| receive(&sleeper)).count();
        assert_eq!(before, heard - 1);
    }

    #[test]
    fn who_talks_nonsense_or_leaves_is_let_go() {
        let (server, client) = Connection::pair().unwrap();
        let mut clients = Clients::new(None, Some(server));
        let mut buffer = Vec::new();
        client
            .send_request(Request::Input(b"ls\n"), &mut buffer)
            .unwrap();
        assert_eq!(clients.wish_of(0), Some(Wish::Input(b"ls\n".to_vec())));
        assert_eq!(clients.wish_of(0), None);
        assert_eq!(clients.connected().len(), 1);
        client.send_notice(&Notice::Exit(1), &mut buffer).unwrap();
        assert_eq!(clients.wish_of(0), None);
        assert!(clients.are_impossible());
    }
}
