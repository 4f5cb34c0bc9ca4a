//! A command whose changes become a layer: one step of a build.

use std::io::Read;
use std::path::Path;

use nix::sys::signal::SigSet;

use super::commit::CommitError;
use super::create::{Request, make};
use super::run::{attend, finish};
use super::start::{put_down, start};
use super::stdio::{Attach, Logging, Wishes};
use super::view::Sight;
use super::{Container, Error, Force};
use crate::files::Times;
use crate::runtime::ExitStatus;
use crate::storage::Storage;

/// What a step came to.
#[derive(Debug)]
pub enum Step<T> {
    /// The command succeeded, and this was made of its changes.
    Done(T),
    /// The command failed.
    Failed(ExitStatus),
}

/// Runs a new container in the foreground to its end, gives what it changed, as a layer's tar, to
/// `take`, and removes it.
///
/// Its standard streams are this process's own, but for the input. Signals to this process are
/// passed on meanwhile. `made` is called before it starts.
///
/// # Errors
/// When the container could not be made or started, or its changes not be packed. It is gone then
/// too.
pub fn run_step<T>(
    root: &Path,
    storage: &Storage,
    request: Request,
    times: Times,
    made: impl FnOnce(&Container),
    take: impl FnOnce(Option<Box<dyn Read + Send>>) -> T,
) -> Result<Step<T>, CommitError> {
    // A container of the foreground holds back all signals; the build goes on after it.
    let mask = SigSet::thread_get_mask().map_err(Error::io("read the signal mask of", root))?;
    let result = run_and_take(root, storage, request, times, made, take);
    mask.thread_set_mask()
        .map_err(Error::io("restore the signal mask of", root))?;
    result
}

fn run_and_take<T>(
    root: &Path,
    storage: &Storage,
    request: Request,
    times: Times,
    made: impl FnOnce(&Container),
    take: impl FnOnce(Option<Box<dyn Read + Send>>) -> T,
) -> Result<Step<T>, CommitError> {
    let (mut container, hold) = make(root, storage, request)?;
    made(&container);
    let wishes = Wishes {
        tty: false,
        open_stdin: false,
        attach: Attach::Foreground,
        logging: Logging::Off,
        size: None,
        restarts: 0,
    };
    let mut started = None;
    let result = start(&mut container, storage, wishes).and_then(|new| {
        let started = started.insert(new);
        attend(&container, started, wishes).inspect_err(|_| put_down(&started.process))
    });
    // Nobody attaches to a container without a log.
    let result = result.map(|(status, _)| status);
    let cgroup = started
        .as_ref()
        .and_then(|started| started.process.cgroup());
    let result = match finish(&mut container, storage, result, cgroup) {
        Ok(ExitStatus::Exited(0)) => container
            .view_at_rest(Sight::Tree, hold)
            .map_err(CommitError::from)
            .and_then(|view| container.with_layer(&view, times, take))
            .map(Step::Done),
        Ok(status) => {
            drop(hold);
            Ok(Step::Failed(status))
        }
        Err(error) => {
            drop(hold);
            Err(error.into())
        }
    };
    match container.remove(Force::Yes) {
        // The reason that matters is the first one.
        Err(error) if result.is_ok() => Err(error.into()),
        _ => result,
    }
}
