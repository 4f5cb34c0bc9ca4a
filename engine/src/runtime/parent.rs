//! The parent's end of the channel to a child that sets itself up.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, socketpair,
};

use super::child::{Fault, Message};
use super::hooks::HookEnd;
use super::{Error, plan};

/// The parent's end.
#[derive(Debug)]
pub(super) struct ParentEnd {
    socket: OwnedFd,
}

/// All that a child said until it executed its program or ended.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) fault: Option<Fault>,
    pub(super) console: Option<OwnedFd>,
    /// The process that executes the program, when it is not the child itself.
    pub(super) forked: Option<u32>,
    /// The set-up came to its end.
    pub(super) ready: bool,
    /// How the hook failed that the fault is about.
    pub(super) hook: Option<HookEnd>,
    /// The filter whose notifications nobody receives yet.
    filter: Option<OwnedFd>,
}

/// What a child waits for.
#[derive(Debug)]
pub(super) enum Waiting {
    /// The hooks in the runtime's namespaces.
    Hooks,
    /// Being recorded.
    Record,
    /// Somebody to whom its filter's notifications go: it waits as soon as there is one.
    Agent(OwnedFd),
}

fn failed(errno: Errno) -> Error {
    plan::setup(
        "talk to the new process".to_owned(),
        "see whether something kills it",
        errno,
    )
}

impl Heard {
    /// Of a child that executes the program itself.
    pub(super) fn of(pid: u32) -> Self {
        Self {
            forked: Some(pid),
            ..Self::default()
        }
    }

    /// A filter, when it is known whose it is, too.
    fn take_filter(&mut self) -> Option<OwnedFd> {
        let known = self.forked.is_some();
        self.filter.take_if(|_| known)
    }

    /// A child that ends without a fault and before it was ready was killed: by somebody, or by
    /// the kernel when memory was short.
    pub(super) fn refuse_killed(&self) -> Result<(), Error> {
        if self.ready {
            return Ok(());
        }
        Err(plan::killed())
    }
}

/// Both ends; close-on-exec, so that the execve closes the child's.
pub(super) fn channel() -> Result<(ParentEnd, OwnedFd), Error> {
    let flags = SockFlag::SOCK_CLOEXEC;
    // Packets: a message arrives whole or not at all.
    let (parent, child) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
        .map_err(|errno| {
            plan::setup(
                "make a socket pair".to_owned(),
                "build the kernel with CONFIG_UNIX",
                errno,
            )
        })?;
    Ok((ParentEnd { socket: parent }, child))
}

impl ParentEnd {
    /// An end that was connected elsewhere.
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Tells the child that what it waits for is done.
    pub(super) fn go(&self) -> Result<(), Error> {
        // MSG_NOSIGNAL: a child that failed early has closed its end, and says why.
        let sent = nix::sys::socket::send(self.socket.as_raw_fd(), &[1], MsgFlags::MSG_NOSIGNAL);
        match sent {
            Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// Listens until the child waits for something, or until its end is closed (`None`). What was
    /// heard before a failure is kept.
    pub(super) fn listen(&self, heard: &mut Heard) -> Result<Option<Waiting>, Error> {
        loop {
            match self.receive() {
                Ok(None) => return Ok(None),
                Ok(Some((message, file))) => match message {
                    Message::Fault(fault) => heard.fault = Some(fault),
                    Message::Console => heard.console = file,
                    Message::Filter => heard.filter = file,
                    Message::Forked(pid) => heard.forked = Some(pid),
                    Message::Ready => heard.ready = true,
                    Message::HookEnd(end) => heard.hook = Some(end),
                    Message::Hooks => return Ok(Some(Waiting::Hooks)),
                    Message::Made => return Ok(Some(Waiting::Record)),
                },
                // A child that ends with our unread word in its socket resets the connection. The
                // kernel tells that once, before what the child has said: listen on.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                Err(errno) => return Err(failed(errno)),
            }
            if let Some(filter) = heard.take_filter() {
                return Ok(Some(Waiting::Agent(filter)));
            }
        }
    }

    fn receive(&self) -> Result<Option<(Message, Option<OwnedFd>)>, Errno> {
        let mut packet = [0; 8];
        let mut control = nix::cmsg_space!([i32; 1]);
        let mut buffers = [IoSliceMut::new(&mut packet)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let received = recvmsg::<()>(
            self.socket.as_raw_fd(),
            &mut buffers,
            Some(&mut control),
            flags,
        )?;
        let length = received.bytes;
        let mut file = None;
        for message in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = message {
                file = fds.first().copied();
            }
        }
        let file = file.map(crate::sys::fds::received);
        if length == 0 {
            return Ok(None);
        }
        match packet.get(..length).and_then(Message::decode) {
            Some(message) => Ok(Some((message, file))),
            None => Err(Errno::EBADMSG),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::child::At;

    #[test]
    fn what_a_child_said_is_heard_though_it_never_read_our_word() {
        let (parent, child) = channel().expect("a channel");
        parent.go().expect("sent");
        let fault = Fault {
            at: At::MountPlace,
            index: 3,
            errno: Errno::ELOOP,
        };
        nix::unistd::write(&child, &Message::Fault(fault).encode()).expect("sent");
        drop(child);
        let mut heard = Heard::default();
        parent.listen(&mut heard).expect("heard");
        assert_eq!(heard.fault, Some(fault));
    }

    #[test]
    fn a_child_that_is_killed_in_its_set_up_has_not_started() {
        let (parent, child) = channel().expect("a channel");
        let mut heard = Heard::default();
        nix::unistd::write(&child, &Message::Forked(7).encode()).expect("sent");
        drop(child);
        parent.listen(&mut heard).expect("heard");
        let refused = heard.refuse_killed().expect_err("refused");
        assert_eq!(refused.exit_code(), 125);

        let (parent, child) = channel().expect("a channel");
        nix::unistd::write(&child, &Message::Ready.encode()).expect("sent");
        drop(child);
        parent.listen(&mut heard).expect("heard");
        assert!(heard.refuse_killed().is_ok());
    }
}
