//! Subvolumes and snapshots: a layer is a subvolume, and what stands on it a snapshot of it.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::image::digest::ChainId;
use crate::storage::compare;
use crate::storage::{
    Change, Driver, DriverName, Fill, Filling, Home, Keep, Rootfs, StorageError, Tree, TreeName,
};
use crate::sys::btrfs;

/// The driver. A layer's `fs` and a container's `rootfs` are subvolumes that hold everything.
#[derive(Debug)]
pub struct Btrfs {
    home: Home,
}

impl Btrfs {
    /// The driver on its folder.
    pub const fn new(home: Home) -> Self {
        Self { home }
    }

    /// Makes `name` in `folder`: a snapshot of the layer, or an empty subvolume.
    fn start(
        &self,
        folder: &Path,
        name: &CStr,
        layer: Option<&ChainId>,
    ) -> Result<(), StorageError> {
        let parent = File::open(folder).map_err(StorageError::io("open", folder))?;
        match layer {
            Some(layer) => {
                let source = self.home.existing(layer)?.join("fs");
                let open = File::open(&source).map_err(StorageError::io("open", &source))?;
                btrfs::snapshot(parent.as_fd(), name, open.as_fd())
                    .map_err(StorageError::io("take a snapshot of", source))
            }
            None => btrfs::create(parent.as_fd(), name)
                .map_err(StorageError::io("create a subvolume in", folder)),
        }
    }
}

impl Driver for Btrfs {
    fn name(&self) -> DriverName {
        DriverName::Btrfs
    }

    fn commit_layer(
        &self,
        parent: Option<&ChainId>,
        fill: Fill<'_>,
    ) -> Result<ChainId, StorageError> {
        let staged = self.home.stage("layer")?;
        self.start(staged.path(), c"fs", parent)?;
        let path = staged.path().join("fs");
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
        self.start(&folder, c"rootfs", top)?;
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

/// Makes a subvolume and a snapshot of it for real in the driver's staging folder.
///
/// # Errors
/// [`StorageError::Unfit`] says what does not work.
pub(super) fn probe(home: &Home) -> Result<(), StorageError> {
    let unfit = |why: String, remedy| StorageError::Unfit {
        driver: DriverName::Btrfs,
        requirement: "kernel.storage.btrfs",
        why,
        remedy,
    };
    let staged = home.stage("probe")?;
    let folder = File::open(staged.path()).map_err(StorageError::io("open", staged.path()))?;
    let attempt = || -> Result<bool, Errno> {
        if !btrfs::is_btrfs(&folder)? {
            return Ok(false);
        }
        btrfs::create(folder.as_fd(), c"one")?;
        let one = nix::fcntl::openat(
            &folder,
            c"one",
            nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_CLOEXEC,
            nix::sys::stat::Mode::empty(),
        )?;
        btrfs::snapshot(folder.as_fd(), c"two", one.as_fd())?;
        btrfs::destroy(folder.as_fd(), c"two")?;
        Ok(true)
    };
    match attempt() {
        Ok(true) => Ok(()),
        Ok(false) => Err(unfit(
            format!("`{}` does not lie on btrfs", home.path().display()),
            "put `--root` on a btrfs file system, or use `--storage-driver overlay` or `vfs`",
        )),
        Err(errno) => Err(unfit(
            format!(
                "subvolumes and snapshots do not work in `{}`: {}",
                home.path().display(),
                errno.desc()
            ),
            "run keel as root, or use `--storage-driver vfs`",
        )),
    }
}
