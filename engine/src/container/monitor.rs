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
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use serde::{Deserialize, Serialize};

use super::logs::{LogWriter, Stream};
use super::start::{Started, chain, put_down, start};
use super::stdio::{Attach, Ends, Logging, Wishes};
use super::store::Hold;
use super::supervise::{Output, PassOn, Supervision, hold_signals};
use super::{Container, Error, store};
use crate::rootless;
use crate::runtime::cgroup::Cgroup;
use crate::sys::fds;

/// The verb of the first form: `keel monitor-start ROOT FOLDER`. Not for users.
pub const START: &str = "monitor-start";
/// The verb of the second form: `keel monitor-wait ROOT FOLDER PID`. Not for users.
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
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("keel")
        .arg(verb)
        .arg(container.root())
        .arg(container.folder())
        .env_clear();
    command
}

/// Starts the monitor of a container and waits until that has started it. The lock of the
/// container's folder goes over to the monitor.
pub(super) fn spawn(container: &Container, hold: Hold) -> Result<(), Error> {
    let failed = |error: &io::Error| Error::Monitor(error.to_string());
    let lock = hold.hand_over().map_err(|error| failed(&error))?;
    let mut monitor = myself(START, container)
        // As its standard input it finds the lock without being told.
        .stdin(Stdio::from(lock))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // A folder or mount of the caller's must not be kept busy for as long as this runs.
        .current_dir("/")
        .spawn()
        .map_err(|error| failed(&error))?;
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
pub fn start_container(root: &Path, folder: PathBuf) -> Result<(), Error> {
    seal().map_err(Error::io("close the descriptors in", "/proc/self/fd"))?;
    rootless::stay(root)?;
    // Away from the terminal and its signals.
    let _ = nix::unistd::setsid();
    let Some(mut container) = Container::read(root, folder)? else {
        return Ok(());
    };
    let process = &container.config().process;
    let wishes = Wishes {
        tty: process.tty,
        open_stdin: process.open_stdin,
        attach: Attach::Detached,
        logging: Logging::On,
    };
    let storage = container.storage()?;
    let result = start(&mut container, &storage, wishes);
    let report = result.as_ref().map(drop).map_err(|error| Refusal {
        code: error.exit_code(),
        message: chain(error, "\n  because: "),
    });
    if report.is_err() && container.config().host.auto_remove {
        container.remove_from(&storage)?;
    }
    let sent = serde_json::to_vec(&report).map_err(io::Error::from);
    let sent = sent.and_then(|bytes| {
        io::stdout()
            .write_all(&bytes)
            .and_then(|()| io::stdout().flush())
    });
    // A caller that was killed meanwhile asked for a container that runs without it.
    drop(sent);
    let Ok(Started { process, ends }) = result else {
        return Ok(());
    };
    let Err(error) = go_on(&container, process.pid(), ends);
    put_down(&process);
    Err(error)
}

/// Executes the second form.
fn go_on(container: &Container, pid: u32, ends: Ends) -> Result<Infallible, Error> {
    let mut next = myself(WAIT, container);
    next.arg(pid.to_string());
    let keep = |error: io::Error| Error::io("keep open", "/proc/self/fd/0")(error);
    let lock = io::stdin().as_fd().try_clone_to_owned().map_err(keep)?;
    pass_on(&lock).map_err(keep)?;
    if let Some(stdin) = &ends.idle_stdin {
        pass_on(stdin).map_err(Error::io("keep open", "/dev/stdin"))?;
    }
    // The container's outputs become the standard streams of the second form: descriptors that
    // it finds without being told.
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
pub fn wait_for_container(root: &Path, folder: PathBuf, pid: &OsString) -> Result<(), Error> {
    hold_signals();
    rootless::stay(root)?;
    let pid: u32 = pid
        .to_str()
        .and_then(|pid| pid.parse().ok())
        .unwrap_or_default();
    // A full disk costs the log, and not the container.
    let log = LogWriter::open(&folder.join("log.ndjson")).ok();
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let supervision = Supervision {
        pid,
        outputs: vec![
            Output::new(stdin.as_fd(), Stream::Stdout),
            Output::new(stdout.as_fd(), Stream::Stderr),
        ],
        input: None,
        log,
        pass_on: PassOn::No,
        console: None,
    };
    let status = supervision.wait().map_err(|source| Error::Process {
        action: "wait for",
        pid,
        source,
    })?;
    let folder = store::moved(folder);
    let Some(mut container) = Container::read(root, folder)? else {
        return Ok(());
    };
    let storage = container.storage()?;
    let path = container.cgroup().ok();
    let cgroup = path.and_then(|path| Cgroup::open(&path).ok());
    super::run::finish(&mut container, &storage, Ok(status), cgroup.as_ref()).map(drop)
}
