//! Running a new container to its end, or leaving it to a monitor.

use std::path::Path;

use super::create::{Request, make};
use super::id::ContainerId;
use super::logs::LogWriter;
use super::start::{Started, put_down, start};
use super::stdio::{Attach, Logging, RawTerminal, Wishes};
use super::supervise::{PassOn, Supervision};
use super::{Container, Error, monitor};
use crate::runtime::ExitStatus;
use crate::runtime::cgroup::Cgroup;
use crate::storage::Storage;

/// Makes a container, and runs it in the foreground to its end.
///
/// Its standard streams are this process's own; signals to this process are passed on. The caller
/// has no other thread that takes signals. `made` is called once the image is no longer needed.
///
/// # Errors
/// When the container could not be made or started. With `auto_remove` it is gone then.
pub fn run(
    root: &Path,
    storage: &Storage,
    request: Request,
    made: impl FnOnce(),
) -> Result<ExitStatus, Error> {
    let (mut container, hold) = make(root, storage, request)?;
    made();
    let host = &container.config().host;
    let wishes = Wishes {
        tty: container.config().process.tty,
        open_stdin: container.config().process.open_stdin,
        attach: Attach::Foreground,
        // Nobody could read the log of what is removed at its end: see decision 0031.
        logging: if host.auto_remove {
            Logging::Off
        } else {
            Logging::On
        },
    };
    let mut started = None;
    let result = start(&mut container, storage, wishes).and_then(|new| {
        let started = started.insert(new);
        attend(&container, started, wishes).inspect_err(|_| put_down(&started.process))
    });
    let cgroup = started
        .as_ref()
        .and_then(|started| started.process.cgroup());
    let result = finish(&mut container, storage, result, cgroup);
    drop(hold);
    result
}

/// Waits for a process in the foreground.
pub(super) fn attend(
    container: &Container,
    started: &mut Started,
    wishes: Wishes,
) -> Result<ExitStatus, Error> {
    let log = match wishes.logging {
        Logging::Off => None,
        Logging::On => {
            let path = container.log_path();
            Some(LogWriter::open(&path).map_err(Error::io("open", path))?)
        }
    };
    let pid = started.process.pid();
    let lost = |source| Error::Process {
        action: "wait for",
        pid,
        source,
    };
    let raw = match (wishes.tty, wishes.open_stdin) {
        (true, true) => RawTerminal::enter().map_err(lost)?,
        _ => None,
    };
    let input = started.ends.input(wishes).map_err(lost)?;
    let supervision = Supervision {
        pid,
        outputs: started.ends.outputs(),
        input,
        log,
        pass_on: PassOn::Yes,
        console: started.ends.console(),
    };
    let status = supervision.wait().map_err(lost);
    drop(raw);
    status
}

/// Records the end, gives back what was taken, and removes what is to be removed.
pub(super) fn finish(
    container: &mut Container,
    storage: &Storage,
    result: Result<ExitStatus, Error>,
    cgroup: Option<&Cgroup>,
) -> Result<ExitStatus, Error> {
    if let Ok(status) = &result {
        container.end(*status, storage, cgroup)?;
    }
    if container.config().host.auto_remove {
        container.remove_from(storage)?;
    }
    result
}

/// Makes a container and leaves it to a monitor. Returns its id.
///
/// # Errors
/// When the container could not be made or started. With `auto_remove` it is gone then.
pub fn run_detached(
    root: &Path,
    storage: &Storage,
    request: Request,
    made: impl FnOnce(),
) -> Result<ContainerId, Error> {
    let (container, hold) = make(root, storage, request)?;
    made();
    monitor::spawn(&container, hold)?;
    Ok(container.id().clone())
}
