//! Work in the making: invisible until it is whole, removable when it was left behind.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::fcntl::{Flock, FlockArg};

use crate::storage::StorageError;
use crate::storage::remove::remove_tree;

/// Names that are unique in this process; the process id makes them unique on the machine.
static SERIAL: AtomicU32 = AtomicU32::new(0);

/// A folder whose subfolders are work in the making.
///
/// Each is locked by whoever makes it, so one that nobody has locked was left by a process that
/// is gone, whatever ended it.
#[derive(Debug)]
pub struct Staging {
    folder: PathBuf,
}

impl Staging {
    /// The staging folder, which exists.
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// A new folder, locked for as long as the value lives; it is removed with all that is in it
    /// unless it is published.
    pub fn stage(&self, label: &str) -> Result<Staged, StorageError> {
        loop {
            let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
            let name = format!("{label}-{}-{serial}", std::process::id());
            let path = self.folder.join(name);
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(StorageError::io("create", path)(error)),
            }
            let Ok(folder) = File::open(&path) else {
                continue; // A clean-up got in between and took it for a leftover.
            };
            let lock = Flock::lock(folder, FlockArg::LockExclusive)
                .map_err(|(_, errno)| StorageError::io("lock", &path)(errno))?;
            let links = lock
                .metadata()
                .map_err(StorageError::io("examine", &path))?
                .nlink();
            if links > 0 {
                return Ok(Staged {
                    path,
                    _lock: lock,
                    published: false,
                });
            }
        }
    }

    /// Takes a tree out of sight at once, and then removes it.
    pub fn discard(&self, path: &Path) -> Result<(), StorageError> {
        let staged = self.stage("discarded")?;
        match fs::rename(path, staged.path.join("tree")) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StorageError::io("remove", path)(error)),
        }
        remove_tree(&staged.path).map_err(StorageError::io("remove", &staged.path))
    }

    /// Unfinished work whose owner is gone.
    pub fn leftovers(&self) -> Result<Vec<PathBuf>, StorageError> {
        let failed = |action| StorageError::io::<io::Error>(action, &self.folder);
        let mut left = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed("list"))? {
            let path = entry.map_err(failed("list"))?.path();
            let Ok(folder) = File::open(&path) else {
                continue; // Its owner removed it just now.
            };
            if Flock::lock(folder, FlockArg::LockExclusiveNonblock).is_ok() {
                left.push(path);
            }
        }
        Ok(left)
    }

    /// Removes what killed processes left, and says how many folders that were; what is being
    /// worked on is locked, and stays.
    pub fn clean(&self) -> Result<usize, StorageError> {
        let failed = |action| StorageError::io::<io::Error>(action, &self.folder);
        let mut removed = 0;
        for entry in fs::read_dir(&self.folder).map_err(failed("list"))? {
            let path = entry.map_err(failed("list"))?.path();
            let Ok(folder) = File::open(&path) else {
                continue; // Its owner removed it just now.
            };
            if let Ok(_lock) = Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
                remove_tree(&path).map_err(StorageError::io("remove", &path))?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// A folder in the making. See [`Staging::stage`].
#[derive(Debug)]
pub struct Staged {
    path: PathBuf,
    _lock: Flock<File>,
    published: bool,
}

impl Staged {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it visible as `target`, at once and for good. Its contents are on the disk already.
    pub fn publish(mut self, target: &Path) -> Result<(), StorageError> {
        fs::rename(&self.path, target).map_err(StorageError::io("publish", target))?;
        self.published = true;
        match target.parent() {
            Some(folder) => sync_folder(folder),
            None => Ok(()),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now is a leftover, and the next clean-up takes it.
            drop(remove_tree(&self.path));
        }
    }
}

/// Makes renames in a folder outlive a power failure.
pub(crate) fn sync_folder(path: &Path) -> Result<(), StorageError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(StorageError::io("sync", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_work_in_progress_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let staging = Staging::new(folder.path().to_owned());
        let working = staging.stage("layer").unwrap();
        fs::create_dir(folder.path().join("layer-1-0")).unwrap();
        fs::write(folder.path().join("layer-1-0/file"), "x").unwrap();

        assert_eq!(staging.clean().unwrap(), 1);

        assert!(working.path().exists());
        assert!(!folder.path().join("layer-1-0").exists());
    }

    #[test]
    fn work_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let staging = Staging::new(folder.path().to_owned());
        let staged = staging.stage("layer").unwrap();
        fs::write(staged.path().join("file"), "x").unwrap();
        drop(staged);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
