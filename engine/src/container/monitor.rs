//! The process that stays with a detached container: it keeps the log and the exit status.
//!
//! It comes in two forms, one after the other in the same process. The first reads the
//! container's files, starts it and says whether that worked. The second is this program, executed
//! anew: it has only descriptors and a process id, has touched next to no memory, and waits. As
//! executing changes neither process id nor children nor descriptors, nothing is lost between.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use serde::{Deserialize, Serialize};

use super::attach::clients::Clients;
use super::attach::socket::{self, Connection};
use super::health::{self, Schedule, Times};
use super::logs::{LogTarget, LogWriter, Stream};
use super::options::{Asked, next_delay};
use super::orders::{Orders, Restarted};
use super::record::LOG;
use super::record::Next;
use super::start::{Started, chain, put_down, start};
use super::state::{State, Status};
use super::stdio::{Attach, Ends, Logging, Wishes};
use super::store::Hold;
use super::supervise::{Input, Output, PassOn, Source, Supervision, hold_signals};
use super::{Container, Error, store};
use crate::rootless;
use crate::runtime::cgroup::Cgroup;
use crate::storage::Storage;
use crate::sys::fds;

/// The verb of the first form: `keel monitor-start ROOT FOLDER WORD…`. Not for users.
pub const START: &str = "monitor-start";
/// The verb of the second form: `keel monitor-wait ROOT FOLDER ORDER…`. Not for users.
pub const WAIT: &str = "monitor-wait";

/// Why a monitor did not start its container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The exit code that says so.
    pub code: u8,
    /// What went wrong, with all causes, a line each.
    pub message: String,
}

/// What the first form says on its standard output.
type Report = Result<(), Refusal>;

/// This very program, also when its file was replaced meanwhile.
fn myself(verb: &str, container: &Container) -> Command {
    let mut command = executable();
    command
        .arg(verb)
        .arg(container.root())
        .arg(container.folder());
    command
}

/// This program, to be told what to do.
pub(super) fn executable() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("keel").env_clear();
    command
}

/// Somebody who is attached before the container starts, so that they miss nothing.
#[derive(Debug)]
pub(super) struct First {
    /// The monitor's end of the connection.
    pub(super) connection: Connection,
    /// The size of their terminal.
    pub(super) size: Option<(u16, u16)>,
}

/// Starts the monitor of a container and waits until that has started it. The lock of the
/// container's folder goes over to the monitor.
pub(super) fn spawn(container: &Container, hold: Hold, first: Option<First>) -> Result<(), Error> {
    let failed = |error: &io::Error| Error::Monitor(error.to_string());
    let lock = hold.hand_over().map_err(|error| failed(&error))?;
    let mut command = myself(START, container);
    // As its standard input it finds the lock without being told, as its standard error the first
    // who is attached.
    command.stdin(Stdio::from(lock)).stdout(Stdio::piped());
    match first {
        None => drop(command.stderr(Stdio::null())),
        Some(First { connection, size }) => {
            command.stderr(Stdio::from(connection.into_fd()));
            if let Some((rows, columns)) = size {
                command.arg(format!("size={rows}x{columns}"));
            }
        }
    }
    let mut monitor = command
        // A folder or mount of the caller's must not be kept busy for as long as this runs.
        .current_dir("/")
        .spawn()
        .map_err(|error| failed(&error))?;
    // Its copies of what was handed over are the only ones from here on.
    drop(command);
    let mut report = Vec::new();
    if let Some(output) = &mut monitor.stdout {
        output
            .read_to_end(&mut report)
            .map_err(|error| failed(&error))?;
    }
    let report: Report = serde_json::from_slice(&report)
        .map_err(|_| Error::Monitor("it was killed before the container had started".to_owned()))?;
    report.map_err(Error::NotStarted)
}

/// Lets a descriptor through the next execution.
fn pass_on(fd: impl std::os::fd::AsFd) -> io::Result<()> {
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(())
}

/// Keeps what the caller left open from staying open for as long as the container runs: whoever
/// reads the other end of such a pipe would wait for its end.
fn seal() -> io::Result<()> {
    let descriptors = File::open("/proc/self/fd")?;
    Ok(fds::seal_from(3, Some(descriptors.as_fd()))?)
}

/// The first form. Returns only if the container did not start, or its monitor could not go on.
///
/// # Errors
/// [`Error::Io`] when the container's files cannot be read.
pub fn start_container(root: &Path, folder: PathBuf, args: &[OsString]) -> Result<(), Error> {
    seal().map_err(Error::io("close the descriptors in", "/proc/self/fd"))?;
    rootless::stay(root)?;
    // Away from the terminal and its signals.
    let _ = nix::unistd::setsid();
    let Some(mut container) = Container::read(root, folder)? else {
        return Ok(());
    };
    let occasion = Occasion::from_args(args);
    let process = &container.config().process;
    let wishes = Wishes {
        tty: process.tty,
        open_stdin: process.open_stdin,
        attach: Attach::Detached,
        logging: Logging::On,
        size: occasion.size,
        restarts: occasion.restarted.times,
    };
    let storage = container.storage()?;
    let target = LogTarget::of(container.config());
    let target = target.and_then(|target| target.check().map(|()| target));
    let target = match target {
        Ok(target) => target,
        Err(error) => {
            container.record_failure(&error)?;
            return report(&mut container, &storage, Err(&error));
        }
    };
    let result = start(&mut container, &storage, wishes).and_then(|started| {
        let door = socket::make(container.folder());
        match door.map_err(Error::io("listen in", container.folder())) {
            Ok(door) => Ok((started, door)),
            Err(error) => {
                put_down(&started.process);
                Err(error)
            }
        }
    });
    report(&mut container, &storage, result.as_ref().map(drop))?;
    let Ok((Started { process, ends }, door)) = result else {
        return Ok(());
    };
    let Err(error) = go_on(
        &container,
        process.pid(),
        ends,
        &door,
        occasion.restarted,
        &target,
    );
    put_down(&process);
    Err(error)
}

/// Says whether the container has started. One that has not and removes itself is gone then.
fn report(
    container: &mut Container,
    storage: &Storage,
    result: Result<(), &Error>,
) -> Result<(), Error> {
    let report: Report = result.map_err(|error| Refusal {
        code: error.exit_code(),
        message: chain(error, "\n  because: "),
    });
    if report.is_err() && container.config().host.auto_remove {
        container.remove_from(storage)?;
    }
    let sent = serde_json::to_vec(&report).map_err(io::Error::from);
    let sent = sent.and_then(|bytes| {
        io::stdout()
            .write_all(&bytes)
            .and_then(|()| io::stdout().flush())
    });
    // A caller that was killed meanwhile asked for a container that runs without it.
    drop(sent);
    Ok(())
}

/// What the first form is told.
#[derive(Debug, Default)]
struct Occasion {
    /// The terminal's size: `size=ROWSxCOLUMNS`.
    size: Option<(u16, u16)>,
    restarted: Restarted,
}

impl Occasion {
    fn from_args(args: &[OsString]) -> Self {
        let mut occasion = Self::default();
        let words = args.iter().filter_map(|arg| arg.to_str()?.split_once('='));
        for (name, value) in words {
            if name == "size" {
                occasion.size = parse_size(value);
            } else {
                // Words of a later version change nothing.
                let _ = occasion.restarted.take(name, value);
            }
        }
        occasion
    }
}

/// `ROWSxCOLUMNS`
fn parse_size(text: &str) -> Option<(u16, u16)> {
    let (rows, columns) = text.split_once('x')?;
    Some((rows.parse().ok()?, columns.parse().ok()?))
}

/// Executes the second form.
fn go_on(
    container: &Container,
    pid: u32,
    ends: Ends,
    door: &OwnedFd,
    restarted: Restarted,
    target: &LogTarget,
) -> Result<Infallible, Error> {
    let mut next = myself(WAIT, container);
    let keep = |error: io::Error| Error::io("keep open", "/proc/self/fd/0")(error);
    let lock = io::stdin().as_fd().try_clone_to_owned().map_err(keep)?;
    pass_on(&lock).map_err(keep)?;
    pass_on(door).map_err(keep)?;
    if let Some(stdin) = &ends.attached_stdin {
        pass_on(stdin).map_err(keep)?;
    }
    let process = &container.config().process;
    let orders = Orders {
        pid,
        console: ends.console.is_some(),
        stdin: ends.attached_stdin.as_ref().map(AsRawFd::as_raw_fd),
        stdin_once: process.stdin_once,
        door: Some(door.as_raw_fd()),
        lock: Some(lock.as_raw_fd()),
        restarted,
        health: process
            .healthcheck
            .as_ref()
            .filter(|check| health::is_wanted(Some(check)))
            .map(Times::of),
        log: serde_json::to_string(target).unwrap_or_default(),
    };
    next.args(orders.to_args());
    // The container's outputs become the standard streams of the second form: descriptors that
    // it finds without being told. The first who is attached stays its standard error.
    let stdin = ends
        .console
        .or(ends.stdout)
        .map_or_else(Stdio::null, Stdio::from);
    let nothing = File::open("/dev/null").map_err(Error::io("open", "/dev/null"))?;
    let stdout = ends
        .stderr
        .map_or_else(|| Stdio::from(nothing), Stdio::from);
    Err(Error::Monitor(
        next.stdin(stdin).stdout(stdout).exec().to_string(),
    ))
}

/// The second form: waits for the container's end and records it.
///
/// # Errors
/// When the end could not be recorded.
pub fn wait_for_container(root: &Path, folder: PathBuf, args: &[OsString]) -> Result<(), Error> {
    hold_signals();
    rootless::stay(root)?;
    let Some(orders) = Orders::from_args(args) else {
        return Ok(());
    };
    // A full disk costs the log, and not the container.
    let target = serde_json::from_str::<LogTarget>(&orders.log).ok();
    let log = target.and_then(|target| LogWriter::open(target, &folder.join(LOG)).ok());
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let lost = |source| Error::Process {
        action: "wait for",
        pid: orders.pid,
        source,
    };
    let console = orders.console.then(|| stdin.as_fd());
    let input = match (console, orders.stdin) {
        (Some(console), _) => {
            let console = console.try_clone_to_owned().map_err(lost)?;
            Some(Input::new(console, Source::EveryClient))
        }
        (None, Some(fd)) => Some(Input::new(
            fds::received(fd),
            if orders.stdin_once {
                Source::FirstClient
            } else {
                Source::EveryClient
            },
        )),
        (None, None) => None,
    };
    // A look must not keep the lock, nor anything else, when we are gone.
    seal().map_err(Error::io("close the descriptors in", "/proc/self/fd"))?;
    let health = orders.health.map(|times| {
        let command = [health::PROBE.into(), root.into(), folder.clone().into()];
        Schedule::new(times, command.to_vec())
    });
    let clients = Clients::new(orders.door.map(fds::received), take_first());
    let supervision = Supervision {
        pid: orders.pid,
        outputs: vec![
            Output::new(stdin.as_fd(), Stream::Stdout),
            Output::new(stdout.as_fd(), Stream::Stderr),
        ],
        input,
        log,
        pass_on: PassOn::No,
        console,
        clients,
        health,
    };
    let began = Instant::now();
    let (status, clients) = supervision.wait().map_err(lost)?;
    let folder = store::moved(folder);
    let Some(mut container) = Container::read(root, folder)? else {
        clients.dismiss(status.code());
        return Ok(());
    };
    let storage = container.storage()?;
    let path = container.cgroup().ok();
    let cgroup = path.and_then(|path| Cgroup::open(&path).ok());
    // As it is now: it may have been changed meanwhile.
    let policy = container.config().host.restart;
    let asked = container.asked_to_end();
    if !policy.after_end(status.code(), asked, orders.restarted.times) {
        super::run::finish(&mut container, &storage, Ok(status), cgroup.as_ref())?;
        clients.dismiss(status.code());
        return Ok(());
    }
    container.end(status, &storage, cgroup.as_ref(), Next::Restart)?;
    clients.dismiss(status.code());
    let restarted = Restarted {
        times: orders.restarted.times.saturating_add(1),
        delay: next_delay(orders.restarted.delay, began.elapsed()),
    };
    start_again(&mut container, orders.lock, restarted)
}

/// Waits, and becomes the first form again; unless somebody asks the container to end meanwhile.
fn start_again(
    container: &mut Container,
    lock: Option<RawFd>,
    restarted: Restarted,
) -> Result<(), Error> {
    let asked = container.wait_unless_asked(restarted.delay)?;
    container.refresh()?;
    let Some(lock) = lock.filter(|_| asked == Asked::No) else {
        let ended = State {
            status: Status::Exited,
            ..container.state().clone()
        };
        return container.record(ended);
    };
    seal().map_err(Error::io("close the descriptors in", "/proc/self/fd"))?;
    let mut first = myself(START, container);
    let failed = first
        .args(restarted.to_args())
        .stdin(Stdio::from(fds::received(lock)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .exec();
    Err(Error::Monitor(failed.to_string()))
}

/// The first who is attached, from our standard error.
fn take_first() -> Option<Connection> {
    let first = io::stderr().as_fd().try_clone_to_owned().ok()?;
    let first = Connection::inherited(first)?;
    // Nothing but the connection itself may keep it open.
    let nothing = File::open("/dev/null").ok()?;
    fds::become_stream(nothing.as_fd(), 2).ok()?;
    Some(first)
}
