//! Waiting for a process: its signals are passed on, what it says is passed on and written down.
//! One thread and one poll loop, so that a monitor costs next to nothing.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{read, write};

use super::attach::clients::{Clients, LAST_WORDS, Patience, Wish};
use super::attach::frame::{self, Notice};
use super::attach::socket::Connection;
use super::health::Schedule;
use super::logs::{LogWriter, Stream};
use crate::runtime::ExitStatus;
use crate::sys::{signals, terminal};

/// Read at once. A monitor's memory is what it touches, so this is small.
const CHUNK: usize = frame::PAYLOAD;

/// What one look at an output copies at most: all that a pipe holds (16 pages, of 64 KiB on some
/// machines), so that nothing is lost that was written before the end, and that an output without
/// end keeps us neither from signals nor from the end.
const LOOK: usize = 1 << 20;

/// A stream that comes from the process.
#[derive(Debug)]
pub(super) struct Output<'a> {
    from: BorrowedFd<'a>,
    stream: Stream,
    ended: bool,
}

impl<'a> Output<'a> {
    pub(super) fn new(from: BorrowedFd<'a>, stream: Stream) -> Self {
        Self {
            from,
            stream,
            ended: false,
        }
    }
}

/// A stream to the process.
#[derive(Debug)]
pub(super) struct Input {
    /// `None` when it has been closed, by us or by the process.
    to: Option<OwnedFd>,
    source: Source,
    pending: Vec<u8>,
    /// Nothing comes behind what is pending.
    is_last: bool,
}

/// What a process's input is filled from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Our own standard input, to its end.
    Ours,
    /// Whoever is attached, to the end of the first one's.
    FirstClient,
    /// Whoever is attached; it has no end.
    EveryClient,
}

impl Input {
    pub(super) fn new(to: OwnedFd, source: Source) -> Self {
        Self {
            to: Some(to),
            source,
            pending: Vec::new(),
            is_last: false,
        }
    }

    /// Closes it, once the process has taken all that came before.
    fn close(&mut self) {
        self.is_last = true;
        if self.pending.is_empty() {
            self.to = None;
        }
    }

    /// Whether somebody who is attached may send more: what came before has been taken.
    fn has_room(&self) -> bool {
        self.pending.is_empty() && !self.is_last
    }
}

/// Whether outputs go to our own as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PassOn {
    /// They do.
    Yes,
    /// They do not: there is only the log.
    No,
}

/// What is done while waiting.
#[derive(Debug)]
pub(super) struct Supervision<'a> {
    pub(super) pid: u32,
    pub(super) outputs: Vec<Output<'a>>,
    pub(super) input: Option<Input>,
    pub(super) log: Option<LogWriter>,
    pub(super) pass_on: PassOn,
    /// The process's terminal, which follows the size of ours.
    pub(super) console: Option<BorrowedFd<'a>>,
    /// Whoever is attached.
    pub(super) clients: Clients,
    /// When to look whether it is well.
    pub(super) health: Option<Schedule>,
}

/// Something to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// A signal.
    Signals,
    /// Our own standard input has something.
    Ours,
    /// The process's input has room.
    Room,
    /// An output has something.
    Output,
    /// Somebody wants to attach.
    Door,
    /// Somebody who is attached has said something, or left.
    Client(usize),
}

/// Holds back all signals to this process, so that none is lost between a launch and the wait.
pub(super) fn hold_signals() {
    signals::block_all();
}

/// Waits for a child, passing on to it whatever signal comes. For when there is nothing to copy.
/// Signals are held back ([`hold_signals`]).
pub(super) fn wait(pid: u32) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = reap(pid)? {
            return Ok(status);
        }
        match signals::wait_any() {
            Ok(signal) => pass_on_signal(pid, signal),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Sends a signal by its number, which may be a real-time one.
pub(super) fn send(pid: u32, signal: i32) -> nix::Result<()> {
    signals::send(signed(pid), signal)
}

/// As system calls take it. The kernel's process ids are below 2^22.
fn signed(pid: u32) -> i32 {
    i32::try_from(pid).unwrap_or(i32::MAX)
}

fn reap(pid: u32) -> io::Result<Option<ExitStatus>> {
    Ok(signals::reap_now(signed(pid))?.map(|ended| {
        let status = ended.status;
        if libc::WIFSIGNALED(status) {
            ExitStatus::Signalled(libc::WTERMSIG(status))
        } else {
            ExitStatus::Exited(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))
        }
    }))
}

/// Whether a child has ended, reaped or not.
fn has_ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').map(|(_, fields)| fields.trim_start());
    state.is_none_or(|state| state.starts_with('Z'))
}

fn pass_on_signal(pid: u32, signal: i32) {
    match signal {
        // About our children, our pipes, our terminal: not meant for the container.
        libc::SIGCHLD
        | libc::SIGPIPE
        | libc::SIGURG
        | libc::SIGTTIN
        | libc::SIGTTOU
        | libc::SIGWINCH => {}
        // It may have ended just now, and then nobody misses the signal.
        _ => {
            let _ = send(pid, signal);
        }
    }
}

/// Signals that were held back, and the process that they are for.
struct Signals<'a> {
    held: SignalFd,
    pid: u32,
    console: Option<BorrowedFd<'a>>,
}

impl<'a> Signals<'a> {
    fn to(pid: u32, console: Option<BorrowedFd<'a>>) -> io::Result<Self> {
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self {
            held: SignalFd::with_flags(&SigSet::all(), flags)?,
            pid,
            console,
        })
    }

    /// Readable when one has come.
    fn polled(&self) -> PollFd<'_> {
        PollFd::new(self.held.as_fd(), PollFlags::POLLIN)
    }

    /// Passes on those that have come.
    fn pass_on(&self) -> io::Result<()> {
        while let Some(signal) = self.held.read_signal()? {
            match (i32::try_from(signal.ssi_signo), self.console) {
                (Ok(libc::SIGWINCH), Some(console)) => follow_size(console),
                (Ok(number), _) => pass_on_signal(self.pid, number),
                (Err(_), _) => {}
            }
        }
        Ok(())
    }

    /// Waits until somebody who is attached has read something, and attends to signals meanwhile.
    /// While the process runs it waits for whoever reads what it says; its end does not.
    fn await_reader(&self, client: &Connection) -> io::Result<Patience> {
        let limit = if has_ended(self.pid) {
            PollTimeout::try_from(LAST_WORDS).unwrap_or(PollTimeout::MAX)
        } else {
            PollTimeout::NONE
        };
        let mut polled = [
            PollFd::new(client.as_fd(), PollFlags::POLLOUT),
            self.polled(),
        ];
        let found = match poll(&mut polled, limit) {
            Ok(found) => found,
            Err(Errno::EINTR) => return Ok(Patience::GoOn),
            Err(errno) => return Err(errno.into()),
        };
        if polled.last().and_then(PollFd::any).unwrap_or(false) {
            self.pass_on()?;
        }
        Ok(if found == 0 {
            Patience::GiveUp
        } else {
            Patience::GoOn
        })
    }
}

impl Supervision<'_> {
    /// Waits for the child, copying its streams. Signals are held back ([`hold_signals`]). Those
    /// who are attached stay so, to be told what became of it.
    pub(super) fn wait(mut self) -> io::Result<(ExitStatus, Clients)> {
        if self.outputs.is_empty() && self.input.is_none() && self.clients.are_impossible() {
            return Ok((wait(self.pid)?, self.clients));
        }
        let signals = Signals::to(self.pid, self.console)?;
        for output in &self.outputs {
            set_nonblocking(output.from)?;
        }
        if let Some(to) = self.input.as_ref().and_then(|input| input.to.as_ref()) {
            set_nonblocking(to.as_fd())?;
        }
        loop {
            if let Some(status) = reap(self.pid)? {
                // What it wrote before it ended is still in the pipes, and who came before that
                // may still be at the door.
                self.clients.admit();
                self.copy_outputs(&signals)?;
                if let Some(log) = &mut self.log {
                    drop(log.finish());
                }
                return Ok((status, self.clients));
            }
            let ready = self.await_event(&signals)?;
            if ready.contains(&Token::Signals) {
                signals.pass_on()?;
            }
            self.copy_outputs(&signals)?;
            self.attend(&ready)?;
            if let Some(health) = &mut self.health {
                health.go_on();
            }
        }
    }

    /// Waits until there is something to do, and says what.
    fn await_event(&self, signals: &Signals<'_>) -> io::Result<Vec<Token>> {
        let stdin = io::stdin();
        let mut watched = vec![(Token::Signals, signals.polled())];
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut hears_clients = true;
        if let Some(input) = &self.input {
            match &input.to {
                Some(to) if !input.has_room() => {
                    watched.push((Token::Room, PollFd::new(to.as_fd(), PollFlags::POLLOUT)));
                    // Whoever sends faster than the process reads has to wait.
                    hears_clients = false;
                }
                Some(_) if input.source == Source::Ours => {
                    watched.push((Token::Ours, readable(stdin.as_fd())));
                }
                _ => {}
            }
        }
        for output in self.outputs.iter().filter(|output| !output.ended) {
            watched.push((Token::Output, readable(output.from)));
        }
        if let Some(door) = self.clients.door() {
            watched.push((Token::Door, readable(door.as_fd())));
        }
        if hears_clients {
            for (index, client) in self.clients.connected().iter().enumerate() {
                watched.push((Token::Client(index), readable(client.as_fd())));
            }
        }
        let (tokens, mut polled): (Vec<_>, Vec<_>) = watched.into_iter().unzip();
        // Rounded up, so that the last step is not a busy loop.
        let due = self.health.as_ref().and_then(Schedule::due_in);
        let limit = due.map_or(PollTimeout::NONE, |due| {
            PollTimeout::try_from(due + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut polled, limit) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready = polled.iter().map(|fd| fd.any().unwrap_or(false));
        let ready = tokens.into_iter().zip(ready);
        Ok(ready
            .filter_map(|(token, is_ready)| is_ready.then_some(token))
            .collect())
    }

    /// Copies what the outputs have now.
    fn copy_outputs(&mut self, signals: &Signals<'_>) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        for output in &mut self.outputs {
            let mut copied = 0;
            while !output.ended && copied < LOOK {
                match read(output.from, &mut chunk) {
                    Ok(0) | Err(Errno::EIO) => output.ended = true, // EIO: a terminal without users
                    Ok(length) => {
                        copied += length;
                        let bytes = chunk.get(..length).unwrap_or_default();
                        if self.pass_on == PassOn::Yes {
                            self.pass_on = pass_on(output.stream, bytes, signals)?;
                        }
                        let notice = Notice::Output(output.stream, bytes);
                        self.clients
                            .tell(&notice, |client| signals.await_reader(client))?;
                        let log = self.log.as_mut();
                        if log.is_some_and(|log| log.take(output.stream, bytes).is_err()) {
                            // A full disk ends the log, and not the container.
                            self.log = None;
                        }
                    }
                    Err(Errno::EAGAIN) => break,
                    Err(Errno::EINTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
        Ok(())
    }

    /// Does what inputs and those who are attached ask for.
    fn attend(&mut self, ready: &[Token]) -> io::Result<()> {
        // From the last to the first: one that leaves moves those behind it.
        for token in ready.iter().rev() {
            match *token {
                Token::Signals | Token::Output => {}
                Token::Ours => self.feed()?,
                Token::Room => self.push()?,
                Token::Door => self.clients.admit(),
                Token::Client(index) => {
                    let wish = self.clients.wish_of(index);
                    self.grant(wish)?;
                }
            }
        }
        Ok(())
    }

    fn grant(&mut self, wish: Option<Wish>) -> io::Result<()> {
        match (wish, self.console, &mut self.input) {
            (Some(Wish::Size(rows, columns)), Some(console), _) => {
                // A terminal that has just ended needs no size.
                let _ = terminal::resize(console, rows, columns);
            }
            (Some(Wish::Input(bytes)), _, Some(input)) if input.to.is_some() => {
                input.pending.extend_from_slice(&bytes);
                self.push()?;
            }
            // A terminal has no end, but what is typed may mean one.
            (Some(Wish::InputEnd), None, Some(input)) if input.source == Source::FirstClient => {
                input.close();
            }
            _ => {}
        }
        Ok(())
    }

    /// Moves one piece of our standard input on.
    fn feed(&mut self) -> io::Result<()> {
        let Some(input) = &mut self.input else {
            return Ok(());
        };
        let mut chunk = [0; 4096];
        match read(io::stdin(), &mut chunk) {
            Ok(0) | Err(Errno::EIO) => input.close(),
            Ok(length) => {
                let bytes = chunk.get(..length).unwrap_or_default();
                input.pending.extend_from_slice(bytes);
                return self.push();
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    /// Moves on as much as the process's input takes.
    fn push(&mut self) -> io::Result<()> {
        let Some(input) = &mut self.input else {
            return Ok(());
        };
        let Some(to) = &input.to else {
            return Ok(());
        };
        match write(to, &input.pending) {
            Ok(length) => drop(input.pending.drain(..length)),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // Nobody reads it any more.
            Err(Errno::EPIPE | Errno::EIO) => input.to = None,
            Err(errno) => return Err(errno.into()),
        }
        if input.pending.is_empty() && input.is_last {
            input.to = None;
        }
        Ok(())
    }
}

/// Gives the process's terminal the size of ours.
fn follow_size(console: BorrowedFd<'_>) {
    if let Ok((rows, columns)) = terminal::size(io::stdin().as_fd()) {
        // A terminal that has just ended needs no size.
        let _ = terminal::resize(console, rows, columns);
    }
}

/// Writes to our own stream, and attends to signals for as long as its reader makes us wait.
/// [`PassOn::No`]: nobody reads it any more.
fn pass_on(stream: Stream, mut bytes: &[u8], signals: &Signals<'_>) -> io::Result<PassOn> {
    let own = (io::stdout(), io::stderr());
    let own = match stream {
        Stream::Stdout => own.0.as_fd(),
        Stream::Stderr => own.1.as_fd(),
    };
    while !bytes.is_empty() {
        let mut polled = [PollFd::new(own, PollFlags::POLLOUT), signals.polled()];
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let [can_write, has_signal] = polled.map(|fd| fd.any().unwrap_or(false));
        if has_signal {
            signals.pass_on()?;
        }
        if !can_write {
            continue;
        }
        // As much as a pipe takes without blocking when it takes anything.
        let piece = bytes.get(..libc::PIPE_BUF).unwrap_or(bytes);
        match write(own, piece) {
            Ok(length) => bytes = bytes.get(length..).unwrap_or_default(),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(_) => return Ok(PassOn::No),
        }
    }
    Ok(PassOn::Yes)
}

fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}
