//! From a container's files to its first process.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;

use super::options::{Absent, Source};
use super::state::{Incarnation, State, boot_id};
use super::stdio::{self, Ends, Wishes};
use super::{Container, Error, clock, facts, spec, supervise};
use crate::runtime::{self, Init, Launch, Process, requirement};
use crate::storage::{Keep, Rootfs, Storage};
use crate::volume::{Naming, Volumes};

/// A process that was started, and our ends of its streams.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) process: Process,
    pub(super) ends: Ends,
}

/// Starts the container. Its folder is held by this process, which has no other thread that takes
/// signals.
///
/// On failure the container is left as it was, with the reason in its state, and nothing runs.
pub(super) fn start(
    container: &mut Container,
    storage: &Storage,
    wishes: Wishes,
) -> Result<Started, Error> {
    let started = try_start(container, storage, wishes).and_then(|started| {
        record_running(container, &started.process, wishes.restarts)
            .inspect_err(|_| put_down(&started.process))
            .map(|()| started)
    });
    if started.is_ok() {
        container.tell("start", &[]);
    }
    if let Err(error) = &started {
        // The reason of the failure is what matters; what cannot be undone now is undone when
        // the container is removed.
        drop(storage.driver().unmount(&container.tree()?));
        container.record_failure(error)?;
    }
    started
}

impl Container {
    /// Records that it could not be started.
    pub(super) fn record_failure(&mut self, error: &Error) -> Result<(), Error> {
        let failed = self.state().clone();
        self.record(failed.not_started(error.exit_code(), chain(error, ": ")))
    }
}

fn record_running(
    container: &mut Container,
    process: &Process,
    restarts: u32,
) -> Result<(), Error> {
    let process = Incarnation {
        pid: process.pid(),
        start: process.start(),
        boot_id: boot_id().map_err(Error::io("read", "/proc/sys/kernel/random/boot_id"))?,
    };
    container.record(State::running(process, clock::now(), restarts))
}

/// Ends a process that nobody could attend to or would find in the records.
pub(super) fn put_down(process: &Process) {
    // It may have ended by itself; the error that led here is what the caller needs to hear.
    let _sent = process.kill(Signal::SIGKILL);
    let _reaped = process.wait();
    if let Some(cgroup) = process.cgroup() {
        let _removed = cgroup.remove();
    }
}

fn try_start(container: &Container, storage: &Storage, wishes: Wishes) -> Result<Started, Error> {
    let config = container.config();
    if config.process.healthcheck.is_some() {
        container.forget_health()?;
    }
    let keep = if config.host.auto_remove {
        Keep::No
    } else {
        Keep::Yes
    };
    let tree = container.tree()?;
    let rootfs = if let Some(rootfs) = storage.driver().rootfs(&tree, keep)? {
        rootfs
    } else {
        own_mounts()?;
        Rootfs::at(storage.driver().mount(&tree, keep)?)
    };
    let root = match &rootfs.mount {
        Some(mount) => mount.try_clone(),
        None => File::open(&rootfs.path).map(OwnedFd::from),
    };
    let root = root.map_err(Error::io("open", &rootfs.path))?;
    let facts = facts::gather(container, root.as_fd())?;
    make_volume_sources(container)?;
    let filter = facts::filter(config, &facts.capabilities)?;
    let spec = spec::spec(config, &facts).map_err(Error::Spec)?;
    let (stdio, console, mut ends) =
        stdio::plan(wishes, &facts.identity).map_err(Error::io("open", "the standard streams"))?;
    // Without control groups a container still runs, unless it is to have limits: then the
    // runtime says what is absent.
    let cgroup = match facts.cgroups {
        spec::Presence::Present => Some(container.cgroup()?),
        spec::Presence::Absent => None,
    };
    supervise::hold_signals();
    let mut process = runtime::launch(Launch {
        id: container.id().as_str(),
        spec: &spec,
        filter,
        rootfs: &rootfs.path,
        mount: rootfs.mount.as_ref().map(OwnedFd::as_fd),
        cgroup: cgroup.as_ref(),
        stdio,
        init: if config.host.init {
            Init::Yes
        } else {
            Init::No
        },
        console,
    })
    .map_err(unfit)?;
    ends.take_console(&mut process);
    Ok(Started { process, ends })
}

/// A step that failed on an unfit kernel fails because of what the kernel lacks; say that.
fn unfit(error: runtime::Error) -> Error {
    let missing = || {
        let mut missing = requirement::missing().into_iter();
        missing.find(|missing| missing.level == requirement::Level::Must)
    };
    let may_be_unfit = matches!(
        error,
        runtime::Error::Setup { .. } | runtime::Error::Cgroup(_)
    );
    match may_be_unfit.then(missing).flatten() {
        Some(missing) => Error::Runtime(runtime::Error::Requirement(missing)),
        None => Error::Runtime(error),
    }
}

/// Moves this process into a mount namespace of its own, on a kernel (before 5.2) that has no
/// mounts outside of namespaces: what is mounted for the container is
/// seen by no other process of the host, and is gone when this process and the container are,
/// whatever ends them.
fn own_mounts() -> Result<(), Error> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(Error::io("make a mount namespace for", "/"))?;
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .map_err(Error::io("make private the mounts of", "/"))
}

/// Docker makes the folder of the host that `--volume` names, if it is not there; and a volume that
/// somebody removed by hand is made anew.
fn make_volume_sources(container: &Container) -> Result<(), Error> {
    let volumes = Volumes::new(container.root());
    for volume in &container.config().host.volumes {
        match &volume.source {
            Source::Path(path) if path.exists() => {}
            Source::Path(path) => match volume.absent {
                Absent::Make => std::fs::create_dir_all(path)
                    .map_err(Error::io("create the volume's source", path))?,
                Absent::Refuse => return Err(Error::NoBindSource(path.clone())),
            },
            Source::Named(name) => {
                if !volumes.data(name).is_dir() {
                    let _hold = volumes.share()?;
                    volumes.ensure(name, &volume.labels, Naming::Named)?;
                }
            }
            Source::Anonymous => {}
        }
    }
    Ok(())
}

/// The whole chain of causes.
pub(super) fn chain(error: &dyn std::error::Error, between: &str) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}{between}{error}");
        cause = error.source();
    }
    text
}
