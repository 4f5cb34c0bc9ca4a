//! The folder of all containers of a runtime, and the folder of one.
//!
//! ```text
//! /run/keel/runtime/
//!   web/               locked by the verb that changes it
//!     config.json      the bundle's, as it was at its creation
//!     state.json       what it is (`Record`)
//!     start.sock       its process waits here for the start
//!     waiting          its lock is held by the process that waits
//!   .web.4711/         being made or removed by the process 4711
//! ```
//!
//! A folder comes and goes by one rename. Nothing is synced: a container is a process, and ends
//! when the machine does.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use oci_spec::runtime::Spec;

use super::record::{Record, State};
use super::{ContainerId, Error, bundle};

const CONFIG: &str = "config.json";
const STATE: &str = "state.json";

/// The containers below one folder.
#[derive(Debug, Clone)]
pub struct Runtime {
    root: PathBuf,
}

/// One container.
#[derive(Debug)]
pub struct Container {
    pub(super) id: ContainerId,
    pub(super) folder: PathBuf,
    pub(super) record: Record,
    /// Taken by verbs that change what it is.
    pub(super) hold: Option<Hold>,
}

/// The lock of a container's folder.
#[derive(Debug)]
pub(super) struct Hold(#[expect(dead_code, reason = "held until dropped")] Flock<File>);

impl Hold {
    pub(super) fn take(folder: &Path, file: File) -> Result<Self, Error> {
        let mut file = file;
        loop {
            match Flock::lock(file, FlockArg::LockExclusive) {
                Ok(lock) => return Ok(Self(lock)),
                Err((again, nix::errno::Errno::EINTR)) => file = again,
                Err((_, errno)) => return Err(Error::io("lock", folder)(errno)),
            }
        }
    }
}

impl Runtime {
    /// Those below `root`, which need not exist yet.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// A container.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn find(&self, id: &ContainerId) -> Result<Container, Error> {
        let folder = self.root.join(id.as_str());
        let record = read_record(&folder, id)?;
        Ok(Container {
            id: id.clone(),
            folder,
            record,
            hold: None,
        })
    }

    /// A container that is to be changed: nobody else does so while this is held.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn find_to_change(&self, id: &ContainerId) -> Result<Container, Error> {
        let folder = self.root.join(id.as_str());
        loop {
            let file = File::open(&folder).map_err(not_found(id, &folder))?;
            let opened = file.metadata().map_err(Error::io("look at", &folder))?;
            let hold = Hold::take(&folder, file)?;
            // While we waited, another may have been made in its place.
            let now = fs::metadata(&folder).map_err(not_found(id, &folder))?;
            if (now.dev(), now.ino()) != (opened.dev(), opened.ino()) {
                continue;
            }
            return Ok(Container {
                record: read_record(&folder, id)?,
                id: id.clone(),
                folder,
                hold: Some(hold),
            });
        }
    }

    /// All of them, by id; those that go meanwhile are left out.
    ///
    /// # Errors
    /// When the folder cannot be read. One that is not there holds none.
    pub fn list(&self) -> Result<Vec<State>, Error> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::io("read", &self.root))?,
        };
        let mut ids: Vec<ContainerId> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        ids.sort();
        let state = |id| match self.find(id) {
            Ok(container) => Some(Ok(container.into_state())),
            Err(Error::NotFound(_)) => None,
            Err(error) => Some(Err(error)),
        };
        ids.iter().filter_map(state).collect()
    }

    /// A folder for something that is not (any more) a container.
    pub(super) fn aside(&self, id: &ContainerId) -> PathBuf {
        self.root.join(format!(".{id}.{}", std::process::id()))
    }

    /// Makes the folder of a container to be, locked and out of sight.
    pub(super) fn make_aside(&self, id: &ContainerId) -> Result<(PathBuf, Hold), Error> {
        let folder = self.aside(id);
        // Others must not even pass through it (CVE-2021-41091).
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        builder
            .recursive(true)
            .create(&self.root)
            .map_err(Error::io("create", &self.root))?;
        // Of a killed process whose number is ours now.
        remove_all(&folder)?;
        let made = builder.recursive(false).create(&folder);
        made.map_err(Error::io("create", &folder))?;
        let file = File::open(&folder).map_err(Error::io("open", &folder))?;
        let hold = Hold::take(&folder, file)?;
        Ok((folder, hold))
    }

    /// Brings a folder that was made aside into its place.
    pub(super) fn publish(&self, aside: &Path, id: &ContainerId) -> Result<PathBuf, Error> {
        let folder = self.root.join(id.as_str());
        match fs::rename(aside, &folder) {
            Ok(()) => Ok(folder),
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(nix::libc::ENOTEMPTY | nix::libc::EEXIST | nix::libc::ENOTDIR)
                ) =>
            {
                Err(Error::IdInUse(id.clone()))
            }
            Err(error) => Err(Error::io("create", &folder)(error)),
        }
    }

    /// Removes a container's folder.
    pub(super) fn withdraw(&self, container: &Container) -> Result<(), Error> {
        let aside = self.aside(&container.id);
        remove_all(&aside)?;
        let moved = fs::rename(&container.folder, &aside);
        moved.map_err(Error::io("remove", &container.folder))?;
        remove_all(&aside)
    }
}

/// Removes a folder that may not be there.
pub(super) fn remove_all(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(Error::io("remove", folder)),
    }
}

impl Container {
    /// What it is and what it is doing.
    pub fn into_state(self) -> State {
        let status = self.status();
        State::of(self.record, status)
    }

    /// Its configuration, as it was at its creation.
    pub(super) fn spec(&self) -> Result<Spec, Error> {
        let path = self.folder.join(CONFIG);
        bundle::parse(&bundle::read_bounded(&path)?, &path)
    }

    /// Refuses with what it is doing.
    pub(super) fn refuse(&self, action: &'static str, remedy: &'static str) -> Error {
        Error::Status {
            action,
            id: self.id.clone(),
            status: self.status(),
            remedy,
        }
    }
}

/// Writes a container's configuration into its folder.
pub(super) fn write_config(folder: &Path, config: &[u8]) -> Result<(), Error> {
    let path = folder.join(CONFIG);
    fs::write(&path, config).map_err(Error::io("write", path))
}

/// Writes its record into its folder, whole or not at all.
pub(super) fn write_record(folder: &Path, record: &Record) -> Result<(), Error> {
    let path = folder.join(STATE);
    let new = folder.join("state.json.new");
    let text = serde_json::to_vec_pretty(record).map_err(io::Error::from);
    text.and_then(|text| fs::write(&new, text))
        .and_then(|()| fs::rename(&new, &path))
        .map_err(Error::io("write", path))
}

fn read_record(folder: &Path, id: &ContainerId) -> Result<Record, Error> {
    let path = folder.join(STATE);
    let bytes = fs::read(&path).map_err(not_found(id, &path))?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Json { path, source })
}

fn not_found(id: &ContainerId, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |error| {
        let absent = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
        if absent.contains(&error.kind()) {
            Error::NotFound(id.clone())
        } else {
            Error::io("open", path)(error)
        }
    }
}
