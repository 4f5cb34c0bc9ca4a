//! Programs, on the server's side.
//!
//! A program is the leader of a session of its own, so that a signal reaches all that it
//! started, and no terminal of the agent's reaches it. Its end is reported after its output.
//! What it leaves running keeps running; output that such a process writes after the program's
//! end is not waited for, or a daemon that kept its standard output would hold its starter up
//! for ever.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, pipe2};

use super::channel::{Allowance, Inbox, Item};
use super::frame::{Frame, Kind, MAX_DATA};
use super::message::{Exec, Exit, ExitStatus, Reply, TerminalSize, Usage};
use super::server::{Operation, STACK};
use crate::sys;
use crate::sys::child::Terminal;

/// The byte that ends the input of a program on a terminal (VEOF).
const END_OF_TRANSMISSION: u8 = 4;

/// The program of an operation, for those who want to signal it.
#[derive(Debug, Default)]
pub(super) struct Process(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Set while the program runs, or has ended but not been reaped: the number is its own.
    pid: Option<Pid>,
    /// The controlling end of its terminal.
    terminal: Option<OwnedFd>,
    killed: bool,
}

impl Process {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signals the program's process group, if it still runs.
    pub(super) fn signal(&self, signal: i32) {
        if let Some(pid) = self.lock().pid {
            // It may be ending just now, or the number may be none: nothing to be done.
            let _best_effort = sys::child::signal_group(pid, signal);
        }
    }

    /// Kills it, now or as soon as it starts.
    pub(super) fn kill(&self) {
        self.lock().killed = true;
        self.signal(nix::libc::SIGKILL);
    }

    /// Sets its terminal's size, if it has one.
    pub(super) fn resize(&self, size: TerminalSize) {
        if let Some(terminal) = &self.lock().terminal {
            let _best_effort = sys::terminal::set_size(terminal.as_fd(), size.rows, size.columns);
        }
    }

    fn started(&self, pid: Pid, terminal: Option<OwnedFd>) {
        let mut state = self.lock();
        state.pid = Some(pid);
        state.terminal = terminal;
        if state.killed {
            let _best_effort = sys::child::signal_group(pid, nix::libc::SIGKILL);
        }
    }

    /// Reaps it. Under the lock, as its number is anybody's afterwards.
    fn reap(&self, pid: Pid) -> io::Result<sys::child::Ended> {
        let mut state = self.lock();
        state.pid = None;
        state.terminal = None;
        Ok(sys::child::wait_with_usage(pid)?)
    }
}

/// The agent's ends of a program's standard streams.
struct Streams {
    input: Option<File>,
    output: File,
    error: Option<File>,
    /// The same terminal once more, for its size.
    terminal: Option<OwnedFd>,
}

/// Runs a program to its end.
pub(super) fn run(operation: &Operation, program: &Exec) {
    let name = program.argv.first().map_or("", String::as_str);
    let begun = Instant::now();
    let (child, mut streams) = match start(program) {
        Ok(started) => started,
        Err(error) => return operation.fail(&format!("can't run `{name}`"), &error),
    };
    let pid = sys::child::pid(&child);
    operation.process.started(pid, streams.terminal.take());
    operation.reply(&Reply::Started { pid: pid.as_raw() });
    match supervise(operation, pid, streams) {
        Ok(ended) => operation.reply(&Reply::Exited(Exit {
            status: status(ended.status),
            usage: Usage {
                wall_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
                user_us: ended.user_us,
                system_us: ended.system_us,
                max_rss_kib: ended.max_rss_kib,
            },
        })),
        Err(error) => {
            operation.process.kill();
            operation.fail(&format!("lost sight of `{name}`"), &error);
        }
    }
}

/// `WIFSIGNALED` and its kin (wait(2)): the low seven bits are the signal.
fn status(status: i32) -> ExitStatus {
    match status & 0x7f {
        0 => ExitStatus::Code((status >> 8) & 0xff),
        signal => ExitStatus::Signal(signal),
    }
}

fn start(program: &Exec) -> io::Result<(Child, Streams)> {
    let (name, arguments) = program
        .argv
        .split_first()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program is named"))?;
    let mut command = Command::new(name);
    command
        .args(arguments)
        .env_clear()
        .envs(program.env.iter().map(|(name, value)| (name, value)))
        .current_dir(program.cwd.as_deref().unwrap_or("/"));
    match program.terminal {
        None if program.input => start_on_pipes(&mut command, Stdio::piped()),
        None => start_on_pipes(&mut command, Stdio::null()),
        Some(size) => start_on_terminal(&mut command, size),
    }
}

fn start_on_pipes(command: &mut Command, stdin: Stdio) -> io::Result<(Child, Streams)> {
    command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = sys::child::spawn_session(command, Terminal::None)?;
    let missing = || io::Error::other("a pipe is missing");
    let streams = Streams {
        input: child.stdin.take().map(|end| File::from(OwnedFd::from(end))),
        output: File::from(OwnedFd::from(child.stdout.take().ok_or_else(missing)?)),
        error: child
            .stderr
            .take()
            .map(|end| File::from(OwnedFd::from(end))),
        terminal: None,
    };
    Ok((child, streams))
}

fn start_on_terminal(command: &mut Command, size: TerminalSize) -> io::Result<(Child, Streams)> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let controlling = posix_openpt(flags)?;
    grantpt(&controlling)?;
    unlockpt(&controlling)?;
    sys::terminal::set_size(controlling.as_fd(), size.rows, size.columns)?;
    let end = open(ptsname_r(&controlling)?.as_str(), flags, Mode::empty())?;
    command
        .stdin(Stdio::from(end.try_clone()?))
        .stdout(Stdio::from(end.try_clone()?))
        .stderr(Stdio::from(end));
    let child = sys::child::spawn_session(command, Terminal::OnInput)?;
    // The command holds this process's copies of the terminal's other end: with them open,
    // the end of its output would never be seen.
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let output = File::from(controlling.as_fd().try_clone_to_owned()?);
    let streams = Streams {
        input: Some(output.try_clone()?),
        terminal: Some(OwnedFd::from(output.try_clone()?)),
        output,
        error: None,
    };
    Ok((child, streams))
}

/// Moves the streams until the program has ended and its output is out.
fn supervise(operation: &Operation, pid: Pid, streams: Streams) -> io::Result<sys::child::Ended> {
    let (ended, still_running) = pipe2(OFlag::O_CLOEXEC)?;
    let ended = ended.as_fd();
    let terminal = if streams.error.is_some() {
        Terminal::None
    } else {
        Terminal::OnInput
    };
    thread::scope(|scope| {
        let pump = |kind, from| {
            let work = move || send_output(operation, kind, from, ended);
            thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, work)
                .map(drop)
        };
        let result = (|| {
            pump(Kind::Output, streams.output)?;
            if let Some(error) = streams.error {
                pump(Kind::Error, error)?;
            }
            if let Some(input) = streams.input {
                let work = move || take_input(operation, input, ended, terminal);
                thread::Builder::new()
                    .stack_size(STACK)
                    .spawn_scoped(scope, work)?;
            }
            // Not reaped yet: until it is, nobody else can have its number.
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
            while let Err(error) = waitid(Id::Pid(pid), flags) {
                if error != Errno::EINTR {
                    return Err(error.into());
                }
            }
            operation.process.reap(pid)
        })();
        operation.inbox.close();
        drop(still_running);
        result
    })
}

/// What a wait came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ready {
    /// The stream is ready, or at its end.
    Stream,
    /// The program has ended, and the stream has nothing at the moment.
    Ended,
}

/// Waits for `stream`, or the program's end.
fn wait_for(stream: BorrowedFd<'_>, events: PollFlags, ended: BorrowedFd<'_>) -> io::Result<Ready> {
    let mut fds = [
        PollFd::new(stream, events),
        PollFd::new(ended, PollFlags::empty()),
    ];
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => {
                let ready = fds.first().and_then(PollFd::any).unwrap_or(true);
                return Ok(if ready { Ready::Stream } else { Ready::Ended });
            }
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends what the program writes, as the client allows; then the end.
fn send_output(operation: &Operation, kind: Kind, mut from: File, ended: BorrowedFd<'_>) {
    let allowance: &Allowance = match kind {
        Kind::Error => &operation.error,
        Kind::Request
        | Kind::Reply
        | Kind::Input
        | Kind::Output
        | Kind::Credit
        | Kind::Ping
        | Kind::Pong => &operation.output,
    };
    let mut buffer = vec![0; MAX_DATA];
    while let Ok(Ready::Stream) = wait_for(from.as_fd(), PollFlags::POLLIN, ended) {
        let Some(allowed) = allowance.take(MAX_DATA) else {
            break;
        };
        // A terminal whose last user has gone gives EIO: its end.
        let count = match from.read(buffer.get_mut(..allowed).unwrap_or_default()) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                allowance.give(allowed);
                continue;
            }
            Err(_) => 0,
        };
        allowance.give(allowed - count);
        if count == 0 {
            break;
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        operation.sender.send(kind, operation.stream, bytes);
    }
    operation.sender.send(kind, operation.stream, &[]);
}

/// Gives the program what the client sends.
fn take_input(operation: &Operation, mut to: File, ended: BorrowedFd<'_>, terminal: Terminal) {
    let inbox: &Inbox = &operation.inbox;
    while let Some(item) = inbox.pop() {
        match item {
            Item::Data(bytes) => {
                // One that reads no more must not block the client: the rest is thrown away.
                let _unread = write_all(&mut to, &bytes, ended);
                let credit = Frame::credit(operation.stream, Kind::Input, bytes.len());
                operation
                    .sender
                    .send(credit.kind, credit.stream, &credit.payload);
            }
            Item::End if terminal == Terminal::OnInput => {
                let _unread = write_all(&mut to, &[END_OF_TRANSMISSION], ended);
            }
            Item::End => return,
            Item::Commit(_) => {}
        }
    }
}

/// Writes all, unless the program ends before: a process that it left may hold the other end
/// open and never read.
fn write_all(to: &mut File, mut bytes: &[u8], ended: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(&*to, FcntlArg::F_GETFL)?);
    fcntl(&*to, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    while !bytes.is_empty() {
        if wait_for(to.as_fd(), PollFlags::POLLOUT, ended)? == Ready::Ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        match to.write(bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
