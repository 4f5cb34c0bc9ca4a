//! Which driver a root folder uses: as named, as before, or the best that works here.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::image::digest::ChainId;
use crate::storage::aufs::{self, Aufs, AufsFs};
use crate::storage::btrfs::{self, Btrfs};
use crate::storage::overlay::{self, Overlay, OverlayFs};
use crate::storage::sync_folder;
use crate::storage::vfs::Vfs;
use crate::storage::{ChangeKind, Driver, DriverName, Home, StorageError, Tree, TreeName};

/// The storage of one root folder: its driver, and the driver's folder.
#[derive(Debug)]
pub struct Storage {
    driver: Box<dyn Driver>,
    home: Home,
}

impl Storage {
    /// The storage of keel's root folder `root`, with the driver `wanted`, or else the one that
    /// was used here before, or else, in an empty root, the first of overlay, btrfs, aufs and vfs
    /// that works; that choice is kept in `storage/driver`.
    ///
    /// Only a driver that was not used here before is tried out, so this is quick.
    ///
    /// # Errors
    /// [`StorageError::Unfit`] when the wanted driver does not work here, with the requirement
    /// that is absent and the remedy.
    pub fn open(root: &Path, wanted: Option<DriverName>) -> Result<Self, StorageError> {
        let kept = kept_choice(root)?;
        let Some(name) = wanted.or(kept) else {
            return Self::choose(root);
        };
        let storage = Self::with(root, name)?;
        if kept != Some(name) {
            storage.probe()?;
            if kept.is_none() {
                keep_choice(root, name)?;
            }
        }
        Ok(storage)
    }

    fn choose(root: &Path) -> Result<Self, StorageError> {
        for name in [DriverName::Overlay, DriverName::Btrfs, DriverName::Aufs] {
            let storage = Self::with(root, name)?;
            match storage.probe() {
                Ok(()) => {
                    keep_choice(root, name)?;
                    return Ok(storage);
                }
                Err(StorageError::Unfit { .. }) => storage.home.remove_if_empty(),
                Err(error) => return Err(error),
            }
        }
        keep_choice(root, DriverName::Vfs)?;
        Self::with(root, DriverName::Vfs)
    }

    fn with(root: &Path, name: DriverName) -> Result<Self, StorageError> {
        let driver: Box<dyn Driver> = match name {
            DriverName::Overlay => Box::new(Overlay::new(Home::open(root, name)?, OverlayFs)),
            DriverName::Btrfs => Box::new(Btrfs::new(Home::open(root, name)?)),
            DriverName::Vfs => Box::new(Vfs::new(Home::open(root, name)?)),
            DriverName::Aufs => Box::new(Aufs::new(Home::open(root, name)?, AufsFs)),
        };
        Ok(Self {
            driver,
            home: Home::open(root, name)?,
        })
    }

    /// Tries the driver out on this folder's file system.
    fn probe(&self) -> Result<(), StorageError> {
        match self.driver.name() {
            DriverName::Overlay => overlay::probe(&self.home),
            DriverName::Btrfs => btrfs::probe(&self.home),
            DriverName::Aufs => aufs::probe(&self.home),
            DriverName::Vfs => Ok(()),
        }
    }

    /// The driver.
    pub fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    /// Bytes of the files that the layer brought; `None` if the layer is not in the store.
    pub fn layer_bytes(&self, chain: &ChainId) -> Result<Option<u64>, StorageError> {
        self.home.layer_bytes(chain)
    }

    /// The layer's folder; see [`crate::storage`] for what is in it.
    pub fn layer_folder(&self, chain: &ChainId) -> Result<PathBuf, StorageError> {
        self.home.existing(chain)
    }

    /// Removes a layer that no image and no container needs. The caller holds the image store's
    /// lock exclusively.
    pub fn remove_layer(&self, chain: &ChainId) -> Result<(), StorageError> {
        self.driver.remove(Tree::Layer(chain))
    }

    /// Unfinished work that nobody goes on with.
    pub fn leftovers(&self) -> Result<Vec<PathBuf>, StorageError> {
        self.home.leftovers()
    }

    /// The folders of layers that `keep` does not want.
    pub fn layers_but(
        &self,
        keep: impl Fn(&ChainId) -> bool,
    ) -> Result<Vec<PathBuf>, StorageError> {
        let layers = self.home.layers()?.into_iter();
        let unwanted = layers.filter(|chain| !keep(chain));
        Ok(unwanted.map(|chain| self.home.layer(&chain)).collect())
    }

    /// Bytes of the files that a container has made or changed.
    pub fn own_bytes(&self, container: &TreeName) -> Result<u64, StorageError> {
        let files = self
            .home
            .container(container)
            .join(match self.driver.name() {
                DriverName::Overlay | DriverName::Aufs => "fs",
                DriverName::Btrfs | DriverName::Vfs => "rootfs",
            });
        let mut bytes = 0;
        for change in self.driver.changes(container)? {
            if change.kind == ChangeKind::Deleted {
                continue;
            }
            let path = files.join(change.path.strip_prefix("/").unwrap_or(&change.path));
            // What a running container removes meanwhile takes no space.
            if let Ok(found) = fs::symlink_metadata(&path) {
                bytes += if found.is_dir() { 0 } else { found.len() };
            }
        }
        Ok(bytes)
    }

    /// Removes leftovers, and the layers that `keep` does not want and no other layer stands on.
    /// Returns how many trees that were. The caller holds the image store's lock exclusively.
    pub fn prune(&self, keep: impl Fn(&ChainId) -> bool) -> Result<usize, StorageError> {
        let mut removed = self.home.clean()?;
        for chain in self.home.layers()? {
            if !keep(&chain) {
                self.driver.remove(Tree::Layer(&chain))?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// The driver that this root was used with before.
fn kept_choice(root: &Path) -> Result<Option<DriverName>, StorageError> {
    let path = root.join("storage/driver");
    match fs::read_to_string(&path) {
        Ok(word) => word.trim_end().parse().map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io("read", path)(error)),
    }
}

fn keep_choice(root: &Path, name: DriverName) -> Result<(), StorageError> {
    let folder = root.join("storage");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(StorageError::io("create", &folder))?;
    let path = folder.join("driver");
    let new = folder.join(format!("driver.new-{}", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = File::create(&new)?;
        writeln!(file, "{name}")?;
        file.sync_all()?;
        fs::rename(&new, &path)
    };
    write().map_err(StorageError::io("write", &path))?;
    sync_folder(&folder)
}
