//! Running a new container to its end, or leaving it to a monitor.

use std::path::Path;

use super::attach::clients::Clients;
use super::attach::{Interaction, Left, socket};
use super::create::{Request, make};
use super::id::ContainerId;
use super::logs::{LogTarget, LogWriter};
use super::record::Next;
use super::start::{Started, put_down, start};
use super::stdio::{Attach, Logging, Wishes};
use super::supervise::{PassOn, Supervision};
use super::{Container, Error, monitor};
use crate::runtime::ExitStatus;
use crate::runtime::cgroup::Cgroup;
use crate::storage::Storage;

/// Makes a container and runs it in the foreground, to its end or until the detach keys are typed.
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
    interaction: Interaction,
) -> Result<Left, Error> {
    let (mut container, hold) = make(root, storage, request)?;
    made();
    if container.config().has_monitor() {
        return container.start_attached(hold, interaction);
    }
    let status = run_here(&mut container, storage)?;
    drop(hold);
    Ok(Left::Exited(status.code()))
}

/// Runs a container as a child of this process.
fn run_here(container: &mut Container, storage: &Storage) -> Result<ExitStatus, Error> {
    let wishes = Wishes {
        tty: false,
        open_stdin: container.config().process.open_stdin,
        attach: Attach::Foreground,
        // Nobody could read the log of what is removed at its end: see decision 0031.
        logging: if container.config().host.auto_remove {
            Logging::Off
        } else {
            Logging::On
        },
        size: None,
        restarts: 0,
    };
    let mut started = None;
    let result = start(container, storage, wishes).and_then(|new| {
        let started = started.insert(new);
        attend(container, started, wishes).inspect_err(|_| put_down(&started.process))
    });
    let cgroup = started
        .as_ref()
        .and_then(|started| started.process.cgroup());
    let (result, clients) = match result {
        Ok((status, clients)) => (Ok(status), clients),
        Err(error) => (Err(error), Clients::default()),
    };
    let status = finish(container, storage, result, cgroup)?;
    clients.dismiss(status.code());
    Ok(status)
}

/// Waits for a process in the foreground. Where its output is kept for others, they may attach.
pub(super) fn attend(
    container: &Container,
    started: &mut Started,
    wishes: Wishes,
) -> Result<(ExitStatus, Clients), Error> {
    let (log, door) = match wishes.logging {
        Logging::Off => (None, None),
        Logging::On => {
            let path = container.log_path();
            let target = LogTarget::of(container.config())?;
            target.check()?;
            let log = LogWriter::open(target, &path).map_err(Error::io("open", path))?;
            let door = socket::make(container.folder());
            let door = door.map_err(Error::io("listen in", container.folder()))?;
            (Some(log), Some(door))
        }
    };
    let pid = started.process.pid();
    let lost = |source| Error::Process {
        action: "wait for",
        pid,
        source,
    };
    let input = started.ends.input(wishes).map_err(lost)?;
    let supervision = Supervision {
        pid,
        outputs: started.ends.outputs(),
        input,
        log,
        pass_on: PassOn::Yes,
        console: None,
        clients: Clients::new(door, None),
        health: None,
    };
    supervision.wait().map_err(lost)
}

/// Records the end, gives back what was taken, and removes what is to be removed.
pub(super) fn finish(
    container: &mut Container,
    storage: &Storage,
    result: Result<ExitStatus, Error>,
    cgroup: Option<&Cgroup>,
) -> Result<ExitStatus, Error> {
    if let Ok(status) = &result {
        container.end(*status, storage, cgroup, Next::Over)?;
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
    monitor::spawn(&container, hold, None)?;
    Ok(container.id().clone())
}
