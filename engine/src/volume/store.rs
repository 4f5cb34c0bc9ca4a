//! The folder of all volumes, `ROOT/volumes`: plain folders under their names.
//!
//! ```text
//! volumes/lock                held shared while a container that uses volumes is made, and
//!                             exclusively while one is removed
//! volumes/NAME/               locked while it is filled
//!              volume.json    what was asked
//!              _data/         its files
//!              filling        it is being filled with an image's files; left by a killed process,
//!                             it is emptied and filled again
//! volumes/.staging/           unfinished or discarded volumes, free to be removed
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::name::VolumeName;
use crate::storage::{Staging, StorageError, entries, remove_entry};

/// What went wrong with a volume.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A system call on a file failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Moving its folder.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is none of this name.
    #[error("no volume is called `{0}`: `keel volume ls` lists them all")]
    NotFound(VolumeName),
    /// Containers use it.
    #[error("volume `{volume}` is in use by {}: remove the containers first", containers.join(", "))]
    InUse {
        /// The volume.
        volume: VolumeName,
        /// The containers' names.
        containers: Vec<String>,
    },
    /// Its record is not as it was written.
    #[error("`{}` is damaged; `keel volume rm` removes the volume", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// What was to be put into it failed.
    #[error("cannot fill the volume `{volume}` with the image's files")]
    Fill {
        /// The volume.
        volume: VolumeName,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The containers could not be asked.
    #[error("cannot tell which containers use the volume")]
    Users(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl VolumeError {
    fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source: source.into(),
        }
    }
}

/// The version of the format of `volume.json`.
const SCHEMA: &str = "keel.volume/1";

/// What was asked for a volume: the contents of its `volume.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    schema: String,
    /// When it was made, RFC 3339 in UTC.
    pub created: String,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Nobody named it: it goes with the container that it was made for.
    #[serde(default)]
    pub anonymous: bool,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: VolumeName,
    /// What was asked.
    pub record: Record,
    /// The folder of its files.
    pub data: PathBuf,
}

impl Volume {
    /// Bytes of its files.
    ///
    /// # Errors
    /// Those of reading folders.
    pub fn bytes(&self) -> Result<u64, VolumeError> {
        use std::os::unix::fs::MetadataExt as _;
        let mut seen = std::collections::HashSet::new();
        let mut bytes = 0;
        let mut folders = vec![self.data.clone()];
        while let Some(folder) = folders.pop() {
            let list = match fs::read_dir(&folder) {
                // Removed just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                list => list.map_err(VolumeError::io("list", &folder))?,
            };
            for entry in list {
                let entry = entry.map_err(VolumeError::io("list", &folder))?;
                let Ok(found) = fs::symlink_metadata(entry.path()) else {
                    continue;
                };
                if found.is_dir() {
                    folders.push(entry.path());
                } else if seen.insert((found.dev(), found.ino())) {
                    bytes += found.len();
                }
            }
        }
        Ok(bytes)
    }
}

/// A hold on all volumes: while it lives, none is removed.
#[derive(Debug)]
pub struct Shared(#[expect(dead_code, reason = "its end releases the lock")] Flock<File>);

/// Who uses a volume: names of containers.
pub type Users<'a> =
    &'a dyn Fn(&VolumeName) -> Result<Vec<String>, Box<dyn std::error::Error + Send + Sync>>;

/// All volumes of one root folder.
#[derive(Debug, Clone)]
pub struct Volumes {
    folder: PathBuf,
}

impl Volumes {
    /// Those below keel's root folder. Nothing is read or made yet.
    pub fn new(root: &Path) -> Self {
        Self {
            folder: root.join("volumes"),
        }
    }

    /// The folder of a volume's files, be it there or not.
    pub fn data(&self, name: &VolumeName) -> PathBuf {
        self.folder.join(name.as_str()).join("_data")
    }

    /// Keeps all volumes from being removed: hold it from naming one until the container that uses
    /// it is on record.
    ///
    /// # Errors
    /// [`VolumeError::Io`].
    pub fn share(&self) -> Result<Shared, VolumeError> {
        self.lock(FlockArg::LockShared)
    }

    fn lock(&self, how: FlockArg) -> Result<Shared, VolumeError> {
        let staging = self.staging_folder();
        if !staging.is_dir() {
            // For root alone, as the folders of containers (CVE-2021-41091).
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&staging)
                .map_err(VolumeError::io("create", &staging))?;
        }
        let path = self.folder.join("lock");
        let open = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let mut file = open.map_err(VolumeError::io("open", &path))?;
        loop {
            match Flock::lock(file, how) {
                Ok(lock) => return Ok(Shared(lock)),
                Err((again, nix::Error::EINTR)) => file = again,
                Err((_, errno)) => return Err(VolumeError::io("lock", &path)(errno)),
            }
        }
    }

    /// Its name is none that a volume can have.
    fn staging_folder(&self) -> PathBuf {
        self.folder.join(".staging")
    }

    fn staging(&self) -> Staging {
        Staging::new(self.staging_folder())
    }

    /// The volume of this name; made if it is not there. The caller holds [`share`](Self::share).
    ///
    /// # Errors
    /// [`VolumeError::Io`], [`VolumeError::Damaged`].
    pub fn ensure(
        &self,
        name: &VolumeName,
        labels: &BTreeMap<String, String>,
        naming: Naming,
    ) -> Result<Volume, VolumeError> {
        match self.get(name) {
            Err(VolumeError::NotFound(_)) => {}
            found => return found,
        }
        let record = Record {
            schema: SCHEMA.to_owned(),
            created: jiff::Timestamp::now().to_string(),
            labels: labels.clone(),
            anonymous: naming == Naming::Anonymous,
        };
        let staged = self.staging().stage("volume")?;
        let data = staged.path().join("_data");
        fs::DirBuilder::new()
            .mode(0o755)
            .create(&data)
            .map_err(VolumeError::io("create", &data))?;
        let path = staged.path().join("volume.json");
        let write = || -> io::Result<()> {
            let mut text = serde_json::to_vec_pretty(&record)?;
            text.push(b'\n');
            let mut file = File::create(&path)?;
            file.write_all(&text)?;
            file.sync_all()?;
            File::open(staged.path())?.sync_all()
        };
        write().map_err(VolumeError::io("write", &path))?;
        match staged.publish(&self.folder.join(name.as_str())) {
            // Somebody else was quicker.
            Err(_) if self.get(name).is_ok() => {}
            published => published?,
        }
        self.get(name)
    }

    /// The volume of this name.
    ///
    /// # Errors
    /// [`VolumeError::NotFound`], [`VolumeError::Damaged`].
    pub fn get(&self, name: &VolumeName) -> Result<Volume, VolumeError> {
        let path = self.folder.join(name.as_str()).join("volume.json");
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(VolumeError::NotFound(name.clone()));
            }
            text => text.map_err(VolumeError::io("read", &path))?,
        };
        let damaged = |source| VolumeError::Damaged { path, source };
        Ok(Volume {
            name: name.clone(),
            record: serde_json::from_slice(&text).map_err(damaged)?,
            data: self.data(name),
        })
    }

    /// All of them, sorted by name. What is no volume is left out.
    ///
    /// # Errors
    /// Those of reading.
    pub fn list(&self) -> Result<Vec<Volume>, VolumeError> {
        let list = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            list => list.map_err(VolumeError::io("list", &self.folder))?,
        };
        let mut volumes = Vec::new();
        for entry in list {
            let entry = entry.map_err(VolumeError::io("list", &self.folder))?;
            let name = entry.file_name();
            let Some(Ok(name)) = name.to_str().map(str::parse::<VolumeName>) else {
                continue;
            };
            match self.get(&name) {
                Err(VolumeError::NotFound(_)) => {}
                // `lock` is a file.
                Err(VolumeError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotADirectory => {}
                found => volumes.push(found?),
            }
        }
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(volumes)
    }

    /// Removes a volume with all its files.
    ///
    /// # Errors
    /// [`VolumeError::NotFound`], [`VolumeError::InUse`].
    pub fn remove(&self, name: &VolumeName, users: Users<'_>) -> Result<(), VolumeError> {
        let _alone = self.lock(FlockArg::LockExclusive)?;
        let folder = self.folder.join(name.as_str());
        if !folder.is_dir() {
            return Err(VolumeError::NotFound(name.clone()));
        }
        let containers = users(name).map_err(VolumeError::Users)?;
        if !containers.is_empty() {
            return Err(VolumeError::InUse {
                volume: name.clone(),
                containers,
            });
        }
        Ok(self.staging().discard(&folder)?)
    }

    /// Removes the volumes that no container uses and that `wanted` picks; gives their names and
    /// the bytes of their files.
    ///
    /// # Errors
    /// Those of listing and removing.
    pub fn prune(
        &self,
        wanted: impl Fn(&Volume) -> bool,
        users: Users<'_>,
    ) -> Result<(Vec<VolumeName>, u64), VolumeError> {
        let (mut names, mut freed) = (Vec::new(), 0);
        for volume in self.list()?.into_iter().filter(wanted) {
            let bytes = volume.bytes()?;
            match self.remove(&volume.name, users) {
                Ok(()) => {
                    freed += bytes;
                    names.push(volume.name);
                }
                Err(VolumeError::InUse { .. } | VolumeError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((names, freed))
    }

    /// Lets `fill` put files into a volume that is empty; leaves any other alone.
    ///
    /// # Errors
    /// [`VolumeError::Fill`]; what was put in until then is taken out by the next who fills it.
    pub fn fill(
        &self,
        volume: &Volume,
        fill: impl FnOnce(BorrowedFd<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
    ) -> Result<(), VolumeError> {
        let folder = self.folder.join(volume.name.as_str());
        let open = File::open(&folder).map_err(VolumeError::io("open", &folder))?;
        let lock = Flock::lock(open, FlockArg::LockExclusive);
        let _lock = lock.map_err(|(_, errno)| VolumeError::io("lock", &folder)(errno))?;
        let data = File::open(&volume.data).map_err(VolumeError::io("open", &volume.data))?;
        let there = entries(data.as_fd()).map_err(VolumeError::io("list", &volume.data))?;
        let marker = folder.join("filling");
        if marker.exists() {
            for (name, _) in there {
                let name = std::ffi::OsStr::from_bytes(name.to_bytes());
                remove_entry(data.as_fd(), name).map_err(VolumeError::io("empty", &volume.data))?;
            }
        } else if there.is_empty() {
            File::create(&marker)
                .and_then(|marker| marker.sync_all())
                .map_err(VolumeError::io("create", &marker))?;
        } else {
            return Ok(());
        }
        fill(data.as_fd()).map_err(|source| VolumeError::Fill {
            volume: volume.name.clone(),
            source,
        })?;
        nix::unistd::syncfs(&data).map_err(VolumeError::io("sync", &volume.data))?;
        fs::remove_file(&marker).map_err(VolumeError::io("remove", &marker))
    }

    /// Unfinished work whose owner is gone.
    ///
    /// # Errors
    /// Those of reading.
    pub fn leftovers(&self) -> Result<Vec<PathBuf>, VolumeError> {
        if self.staging_folder().is_dir() {
            Ok(self.staging().leftovers()?)
        } else {
            Ok(Vec::new())
        }
    }

    /// Removes leftovers of killed processes, and says how many folders that were.
    ///
    /// # Errors
    /// Those of removing.
    pub fn clean(&self) -> Result<usize, VolumeError> {
        if self.staging_folder().is_dir() {
            Ok(self.staging().clean()?)
        } else {
            Ok(0)
        }
    }
}

/// Whether somebody named a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// It stays until it is removed.
    Named,
    /// It goes with the container that it was made for.
    Anonymous,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volumes() -> (tempfile::TempDir, Volumes, Volume) {
        let root = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(root.path());
        let _hold = volumes.share().unwrap();
        let name = "data".parse().unwrap();
        let volume = volumes.ensure(&name, &BTreeMap::new(), Naming::Named);
        (root, volumes.clone(), volume.unwrap())
    }

    fn write(data: BorrowedFd<'_>, name: &str) {
        use std::os::fd::AsRawFd as _;
        let path = format!("/proc/self/fd/{}/{name}", data.as_raw_fd());
        fs::write(path, "x").unwrap();
    }

    #[test]
    fn only_an_empty_volume_is_filled() {
        let (_root, volumes, volume) = volumes();
        for name in ["first", "second"] {
            let fill = |data: BorrowedFd<'_>| {
                write(data, name);
                Ok(())
            };
            volumes.fill(&volume, fill).unwrap();
        }
        assert!(volume.data.join("first").exists());
        assert!(!volume.data.join("second").exists());
    }

    #[test]
    fn a_volume_whose_filling_failed_is_filled_anew() {
        let (_root, volumes, volume) = volumes();
        let half = |data: BorrowedFd<'_>| {
            write(data, "half");
            Err("killed".into())
        };
        assert!(volumes.fill(&volume, half).is_err());
        let whole = |data: BorrowedFd<'_>| {
            write(data, "whole");
            Ok(())
        };
        volumes.fill(&volume, whole).unwrap();
        let left: Vec<_> = fs::read_dir(&volume.data)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["whole"]);
    }

    #[test]
    fn what_is_used_is_not_removed() {
        let (_root, volumes, volume) = volumes();
        let used = |_: &VolumeName| Ok(vec!["web".to_owned()]);
        let refused = volumes.remove(&volume.name, &used);
        assert!(matches!(refused, Err(VolumeError::InUse { .. })));
        volumes.remove(&volume.name, &|_| Ok(Vec::new())).unwrap();
        assert!(volumes.list().unwrap().is_empty());
        let again = volumes.remove(&volume.name, &|_| Ok(Vec::new()));
        assert!(matches!(again, Err(VolumeError::NotFound(_))));
    }
}
