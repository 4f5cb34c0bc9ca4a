//! Whoever is attached: passes on what is typed and what signals come, and shows what the
//! container says, until it ends or the detach keys are typed.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{read, write};

use super::frame::{MAX, Notice, Request};
use super::keys::{DetachKeys, Typed, Watch};
use super::socket::{Connection, Received};
use crate::container::Error;
use crate::container::logs::Stream;
use crate::container::stdio::RawTerminal;
use crate::sys::terminal;

/// How somebody takes part in a container.
#[derive(Debug, Clone)]
pub struct Interaction {
    /// What is typed to leave; of use with a terminal only.
    pub keys: DetachKeys,
    /// Whether standard input is passed on.
    pub input: TakeInput,
    /// Whether signals are passed on.
    pub signals: SigProxy,
}

/// Whether our standard input goes to the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeInput {
    /// It does.
    Yes,
    /// It stays ours.
    No,
}

/// Whether signals to this process go to the container. With a terminal they do not, as in
/// Docker: there, keys do what signals would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigProxy {
    /// They do.
    Yes,
    /// They have their usual effect here.
    No,
}

/// How taking part came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// The container (or the command) ended with this code.
    Exited(u8),
    /// The detach keys were typed: it runs on.
    Detached,
    /// This signal was to end us, and not the container, which runs on.
    Interrupted(i32),
}

/// One end of a connection, and what goes through it.
pub(in crate::container) struct Session<'a> {
    pub(in crate::container) connection: Connection,
    pub(in crate::container) interaction: Interaction,
    /// Whether the container has a terminal.
    pub(in crate::container) tty: bool,
    /// Sends a signal to the container.
    pub(in crate::container) send: &'a dyn Fn(i32),
}

/// What is typed and not passed on yet.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    /// Behind them nothing follows.
    is_last: bool,
}

impl Session<'_> {
    /// Takes part until that ends. Signals are held back
    /// by [`hold_signals`](crate::container::supervise::hold_signals).
    pub(in crate::container) fn run(self) -> Result<Left, Error> {
        let failed =
            |source: io::Error| Error::io("talk to the monitor through", "attach.sock")(source);
        let takes_input = self.interaction.input == TakeInput::Yes;
        let raw = if self.tty && takes_input {
            RawTerminal::enter().map_err(failed)?
        } else {
            None
        };
        let left = self.take_part();
        drop(raw);
        left.map_err(failed)?
    }

    fn take_part(&self) -> io::Result<Result<Left, Error>> {
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&SigSet::all(), flags)?;
        let mut watch = self.tty.then(|| Watch::new(self.interaction.keys.clone()));
        let mut input = self.interaction.input;
        let mut pending = Pending::default();
        let mut hears = true;
        let mut buffer = Vec::new();
        self.tell_size(&mut buffer);
        loop {
            let ready = self.wait(&signals, input, &pending)?;
            if ready.signal {
                if let Some(left) = self.heed(&signals, &mut buffer)? {
                    return Ok(Ok(left));
                }
            }
            if ready.socket {
                if let Some(end) = self.listen(&mut hears)? {
                    return Ok(end);
                }
            }
            if ready.input {
                let typed = read_input(&mut pending, &mut watch)?;
                if pending.is_last {
                    input = TakeInput::No;
                }
                if typed == Typed::Detach {
                    self.pass_on(&mut pending, &mut buffer);
                    return Ok(Ok(Left::Detached));
                }
            }
            if !pending.is_empty() {
                self.pass_on(&mut pending, &mut buffer);
            }
        }
    }

    /// Waits until there is something to do.
    fn wait(&self, signals: &SignalFd, input: TakeInput, pending: &Pending) -> io::Result<Ready> {
        let stdin = io::stdin();
        let mut socket = PollFlags::POLLIN;
        socket.set(PollFlags::POLLOUT, !pending.is_empty());
        let mut polled = vec![
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.connection.as_fd(), socket),
        ];
        if input == TakeInput::Yes && pending.is_empty() {
            polled.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let is_ready = |index: usize| polled.get(index).and_then(PollFd::any).unwrap_or(false);
        Ok(Ready {
            signal: is_ready(0),
            socket: is_ready(1),
            input: is_ready(2),
        })
    }

    /// Does what signals ask for.
    fn heed(&self, signals: &SignalFd, buffer: &mut Vec<u8>) -> io::Result<Option<Left>> {
        while let Some(signal) = signals.read_signal()? {
            let Ok(number) = i32::try_from(signal.ssi_signo) else {
                continue;
            };
            match number {
                libc::SIGWINCH => self.tell_size(buffer),
                // About our children, our pipes, our terminal.
                libc::SIGCHLD | libc::SIGPIPE | libc::SIGURG | libc::SIGTTIN | libc::SIGTTOU => {}
                _ if self.interaction.signals == SigProxy::Yes && !self.tty => (self.send)(number),
                libc::SIGCONT | libc::SIGTSTP => {}
                _ => return Ok(Some(Left::Interrupted(number))),
            }
        }
        Ok(None)
    }

    fn tell_size(&self, buffer: &mut Vec<u8>) {
        if !self.tty {
            return;
        }
        if let Ok((rows, columns)) = own_size() {
            let size = Request::Size { rows, columns };
            // A terminal of the wrong size is no reason to end.
            let _ = self.connection.send_request(size, buffer);
        }
    }

    /// Shows what has come. The end, if it is over.
    fn listen(&self, hears: &mut bool) -> io::Result<Option<Result<Left, Error>>> {
        let mut message = [0; MAX];
        loop {
            let length = match self.connection.receive(&mut message)? {
                Received::Nothing => return Ok(None),
                Received::End => {
                    let lost = "it was killed, or left us behind as we did not read".to_owned();
                    return Ok(Some(Err(Error::Monitor(lost))));
                }
                Received::Message(length) => length,
            };
            match message.get(..length).and_then(Notice::decode) {
                Some(Notice::Output(stream, bytes)) if *hears => *hears = show(stream, bytes),
                // Nobody hears it, or it is from a newer monitor.
                Some(Notice::Output(..)) | None => {}
                Some(Notice::Exit(code)) => return Ok(Some(Ok(Left::Exited(code)))),
                Some(Notice::Refused(refusal)) => {
                    return Ok(Some(Err(Error::NotStarted(refusal))));
                }
            }
        }
    }

    /// Passes on what it can. That the monitor has gone is noticed when listening.
    fn pass_on(&self, pending: &mut Pending, buffer: &mut Vec<u8>) {
        if !pending.bytes.is_empty() {
            let input = Request::Input(&pending.bytes);
            if self.connection.send_request(input, buffer) == Err(Errno::EAGAIN) {
                return;
            }
            pending.bytes.clear();
        }
        if pending.is_last
            && self.connection.send_request(Request::InputEnd, buffer) != Err(Errno::EAGAIN)
        {
            pending.is_last = false;
        }
    }
}

/// Reads what is typed, and says whether that was the detach keys.
fn read_input(pending: &mut Pending, watch: &mut Option<Watch>) -> io::Result<Typed> {
    let mut chunk = [0; 4096];
    match read(io::stdin(), &mut chunk) {
        Ok(0) | Err(Errno::EIO) => pending.is_last = true,
        Ok(length) => {
            let typed = chunk.get(..length).unwrap_or_default();
            let Some(watch) = watch else {
                pending.bytes.extend_from_slice(typed);
                return Ok(Typed::GoOn);
            };
            let (passed, found) = watch.pass(typed);
            pending.bytes = passed;
            return Ok(found);
        }
        Err(Errno::EAGAIN | Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    Ok(Typed::GoOn)
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.is_last
    }
}

/// What poll found.
#[derive(Debug, Clone, Copy)]
struct Ready {
    signal: bool,
    socket: bool,
    input: bool,
}

/// The size of our terminal, wherever it is.
pub(in crate::container) fn own_size() -> nix::Result<(u16, u16)> {
    let stdin = terminal::size(io::stdin().as_fd());
    stdin.or_else(|_| terminal::size(io::stdout().as_fd()))
}

/// Writes to our own stream. `false`: nobody reads it any more.
fn show(stream: Stream, mut bytes: &[u8]) -> bool {
    let own = (io::stdout(), io::stderr());
    let own: BorrowedFd<'_> = match stream {
        Stream::Stdout => own.0.as_fd(),
        Stream::Stderr => own.1.as_fd(),
    };
    while !bytes.is_empty() {
        match write(own, bytes) {
            Ok(length) => bytes = bytes.get(length..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let mut polled = [PollFd::new(own, PollFlags::POLLOUT)];
                let _ = poll(&mut polled, PollTimeout::NONE);
            }
            Err(_) => return false,
        }
    }
    true
}
