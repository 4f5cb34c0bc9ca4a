//! Whole copies: works on every kernel and file system, and shares blocks where it can.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::image::digest::ChainId;
use crate::storage::compare;
use crate::storage::copy::copy_tree;
use crate::storage::{
    Change, Driver, DriverName, Fill, Filling, Home, Keep, Rootfs, StorageError, Tree, TreeName,
};

/// The driver. A layer's `fs` and a container's `rootfs` hold everything.
#[derive(Debug)]
pub struct Vfs {
    home: Home,
}

impl Vfs {
    /// The driver on its folder.
    pub const fn new(home: Home) -> Self {
        Self { home }
    }

    /// Makes `path` a copy of the layer, or an empty folder.
    fn start(&self, path: &Path, layer: Option<&ChainId>) -> Result<(), StorageError> {
        fs::DirBuilder::new()
            .mode(0o755)
            .create(path)
            .map_err(StorageError::io("create", path))?;
        match layer {
            Some(layer) => copy_tree(&self.home.existing(layer)?.join("fs"), path),
            None => Ok(()),
        }
    }
}

impl Driver for Vfs {
    fn name(&self) -> DriverName {
        DriverName::Vfs
    }

    fn commit_layer(
        &self,
        parent: Option<&ChainId>,
        fill: Fill<'_>,
    ) -> Result<ChainId, StorageError> {
        let staged = self.home.stage("layer")?;
        let path = staged.path().join("fs");
        self.start(&path, parent)?;
        let root = File::open(&path).map_err(StorageError::io("open", &path))?;
        let filled = fill(Filling {
            root: root.as_fd(),
            folder: staged.path(),
        })
        .map_err(StorageError::Fill)?;
        self.home.publish(staged, filled, parent)?;
        Ok(filled.chain)
    }

    fn create(&self, container: &TreeName, top: Option<&ChainId>) -> Result<(), StorageError> {
        let folder = self.home.new_container(container)?;
        self.start(&folder.join("rootfs"), top)?;
        match top {
            Some(top) => self.home.link_to_layer(container, top),
            None => Ok(()),
        }
    }

    fn rootfs(&self, container: &TreeName, keep: Keep) -> Result<Option<Rootfs>, StorageError> {
        // There is nothing to mount.
        self.mount(container, keep).map(Rootfs::at).map(Some)
    }

    fn mount(&self, container: &TreeName, _keep: Keep) -> Result<PathBuf, StorageError> {
        Ok(self.home.container(container).join("rootfs"))
    }

    fn unmount(&self, _container: &TreeName) -> Result<(), StorageError> {
        Ok(())
    }

    fn remove(&self, tree: Tree<'_>) -> Result<(), StorageError> {
        match tree {
            Tree::Layer(chain) => self.home.discard(&self.home.layer(chain)),
            Tree::Container(name) => self.home.discard(&self.home.container(name)),
        }
    }

    fn changes(&self, container: &TreeName) -> Result<Vec<Change>, StorageError> {
        compare::with_layer(&self.home, container)
    }
}
