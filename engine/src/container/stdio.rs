//! Where a container's standard streams go.
//!
//! | | standard input | output and error |
//! |---|---|---|
//! | `-t` | through a pseudo terminal | through it |
//! | `-d` | nothing; with `-i` a pipe that whoever attaches fills | pipes, to the log and to whoever attaches |
//! | foreground | nothing; with `-i` ours | pipes, to the log and to ours |
//! | foreground, `--rm` | the same | ours, directly |
//!
//! Directly means without a copy by us, and only where ours are pipes, plain files or
//! `/dev/null`: a terminal of the host in the container could be typed into (`TIOCSTI`), and a
//! folder would be a way out (CVE-2024-21626).

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, fstat, major, minor};
use nix::unistd::{Gid, Uid, fchown, pipe2};

use super::logs::Stream;
use super::supervise::{Input, Output, Source};
use super::user::Identity;
use crate::runtime::{Console, Process, Stdio};

/// Whether somebody waits for the process, and sees what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attach {
    /// Yes: this process does.
    Foreground,
    /// Nobody does.
    Detached,
}

/// Whether what the process says is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logging {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// What the process wants of its streams.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wishes {
    pub(super) tty: bool,
    pub(super) open_stdin: bool,
    pub(super) attach: Attach,
    pub(super) logging: Logging,
    /// The terminal's size at first, where it is known.
    pub(super) size: Option<(u16, u16)>,
    /// How often it was started again before.
    pub(super) restarts: u32,
}

/// Our ends of the streams.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    /// To be filled from our own standard input.
    pub(super) stdin: Option<OwnedFd>,
    /// To be filled by whoever attaches.
    pub(super) attached_stdin: Option<OwnedFd>,
    pub(super) console: Option<OwnedFd>,
}

/// The process's ends and ours.
pub(super) fn plan(wishes: Wishes, identity: &Identity) -> io::Result<(Stdio, Console, Ends)> {
    let mut ends = Ends::default();
    if wishes.tty {
        let console = Console::Pty { size: wishes.size };
        return Ok((Stdio::Inherit, console, ends));
    }
    let stdin = match (wishes.open_stdin, wishes.attach) {
        (false, _) => OwnedFd::from(File::open("/dev/null")?),
        (true, Attach::Foreground) if may_be_given(io::stdin().as_fd()) => {
            io::stdin().as_fd().try_clone_to_owned()?
        }
        (true, attach) => {
            let (theirs, ours) = pipe2(OFlag::O_CLOEXEC)?;
            match attach {
                Attach::Foreground => ends.stdin = Some(ours),
                Attach::Detached => ends.attached_stdin = Some(ours),
            }
            give_to(identity, &theirs)?;
            theirs
        }
    };
    let output = |own: BorrowedFd<'_>, end: &mut Option<OwnedFd>| -> io::Result<OwnedFd> {
        let direct = wishes.attach == Attach::Foreground && wishes.logging == Logging::Off;
        if direct && may_be_given(own) {
            return own.try_clone_to_owned();
        }
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        give_to(identity, &theirs)?;
        *end = Some(ours);
        Ok(theirs)
    };
    let stdout = output(io::stdout().as_fd(), &mut ends.stdout)?;
    let stderr = output(io::stderr().as_fd(), &mut ends.stderr)?;
    Ok((
        Stdio::Fds {
            stdin,
            stdout,
            stderr,
        },
        Console::None,
        ends,
    ))
}

/// Programs open `/dev/stdout` anew, which asks for the pipe's owner.
fn give_to(identity: &Identity, pipe: &OwnedFd) -> io::Result<()> {
    if identity.uid != 0 {
        let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
        fchown(pipe, Some(uid), Some(gid))?;
    }
    Ok(())
}

/// Whether a stream of ours may be the container's own.
fn may_be_given(stream: BorrowedFd<'_>) -> bool {
    let Ok(status) = fstat(stream) else {
        return false;
    };
    match SFlag::from_bits_truncate(status.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFIFO | SFlag::S_IFREG => true,
        SFlag::S_IFCHR => (major(status.st_rdev), minor(status.st_rdev)) == (1, 3),
        _ => false,
    }
}

impl Ends {
    /// Takes the terminal that the launch made.
    pub(super) fn take_console(&mut self, process: &mut Process) {
        self.console = process.take_console();
    }

    /// The terminal.
    pub(super) fn console(&self) -> Option<BorrowedFd<'_>> {
        self.console.as_ref().map(OwnedFd::as_fd)
    }

    /// What is to be read.
    pub(super) fn outputs(&self) -> Vec<Output<'_>> {
        let console = self.console.as_ref().map(|fd| (fd, Stream::Stdout));
        let stdout = self.stdout.as_ref().map(|fd| (fd, Stream::Stdout));
        let stderr = self.stderr.as_ref().map(|fd| (fd, Stream::Stderr));
        let all = console.into_iter().chain(stdout).chain(stderr);
        all.map(|(fd, stream)| Output::new(fd.as_fd(), stream))
            .collect()
    }

    /// What is to be fed from our own standard input.
    pub(super) fn input(&mut self, wishes: Wishes) -> io::Result<Option<Input>> {
        let to = match (&self.console, self.stdin.take()) {
            (Some(console), _) if wishes.open_stdin => Some(console.try_clone()?),
            (_, pipe) => pipe,
        };
        Ok(to.map(|to| Input::new(to, Source::Ours)))
    }
}

/// Our own terminal in raw mode, as long as this lives: every key goes to the container.
#[derive(Debug)]
pub(super) struct RawTerminal {
    before: nix::sys::termios::Termios,
}

impl RawTerminal {
    /// `None` when our standard input is no terminal.
    pub(super) fn enter() -> io::Result<Option<Self>> {
        use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&stdin, SetArg::TCSADRAIN, &raw)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        use nix::sys::termios::{SetArg, tcsetattr};
        // A terminal that has gone away needs no restoring.
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_terminals_of_the_host_are_not_given_to_a_container() {
        let may = |path: &str| may_be_given(File::open(path).unwrap().as_fd());
        assert!(may("/dev/null"));
        assert!(may("/proc/self/exe"));
        assert!(!may("/"));
        assert!(!may("/dev/ptmx"));
        assert!(!may("/dev/zero"));
    }
}
