//! Clearing up: what no entry of the catalogue needs goes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{ImageStore, StoreError};
use crate::cache::CacheError;
use crate::kernel::Origin;

/// Whether to remove, or only to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PruneMode {
    /// Remove.
    Remove,
    /// Tell what would be removed.
    DryRun,
}

/// Something that was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// A file or folder in the cache.
    pub path: PathBuf,
    /// What it takes on the disk, in bytes.
    pub size: u64,
}

impl ImageStore {
    /// Removes from the cache what no entry of the catalogue needs: older builds of kernels,
    /// kernels of the user's own, their packages, indexes of other suites, what was left of
    /// transfers that broke off. Waits for another process that changes the cache.
    ///
    /// The newest build of an entry that is there stays, even if the index has a newer one.
    pub fn prune(&self, mode: PruneMode) -> Result<Vec<Pruned>, StoreError> {
        if !self.cache.root().exists() {
            return Ok(Vec::new());
        }
        let _lock = self.cache.lock(|| ())?;
        let mut needed = BTreeSet::new();
        for entry in self.catalogue.entries() {
            needed.insert(self.cache.index_dir(&entry.suite));
            if let Some(index) = self.index(&entry.suite, entry.id.arch)? {
                needed.insert(self.cache.blob(&index.list_sha256));
            }
            let resolved = self.resolve(entry)?;
            if let Some((dir, description)) = self.best_cached(entry, resolved.as_ref())? {
                needed.insert(dir);
                if let Origin::Packages(packages) = &description.origin {
                    needed.extend(packages.iter().map(|p| self.cache.blob(&p.sha256)));
                }
            }
        }
        let mut pruned = Vec::new();
        for folder in ["index", "blobs/sha256", "partial", "kernels"] {
            for path in children(&self.cache.root().join(folder))? {
                if needed.contains(&path) {
                    continue;
                }
                let failed = |source| CacheError::new("remove", &path, source);
                let size = disk_size(&path).map_err(failed)?;
                if mode == PruneMode::Remove {
                    remove(&path).map_err(failed)?;
                }
                pruned.push(Pruned { path, size });
            }
        }
        Ok(pruned)
    }
}

/// What is in a folder, in order; nothing where there is no folder.
fn children(folder: &Path) -> Result<Vec<PathBuf>, CacheError> {
    let failed = |source| CacheError::new("read", folder, source);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The length of a file, or of all files below a folder, in bytes.
fn disk_size(path: &Path) -> io::Result<u64> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let mut total = 0;
    for entry in fs::read_dir(path)? {
        total += disk_size(&entry?.path())?;
    }
    Ok(total)
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}
