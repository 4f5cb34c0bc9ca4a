//! Overlays: a layer's folder holds what it changed, and the kernel shows the stack as one.
//!
//! A layer is filled through a mounted overlay of the layers below, so whiteouts, opaque folders
//! and copies-up are the kernel's own work, in the form that this kernel understands.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use crate::image::digest::{ChainId, Digest};
use crate::storage::attributes::copy_attributes;
use crate::storage::compare::{self, Presence};
use crate::storage::overlay_mount::{Stack, detached_overlay, mount_overlay};
use crate::storage::private::in_private_mounts;
use crate::storage::remove::remove_tree;
use crate::storage::{
    Change, Driver, DriverName, Fill, Filling, Home, Keep, Rootfs, StorageError, Tree, TreeName,
};

/// Layers that one mount can have: the kernel allows 500, but its options must fit in one page,
/// and a layer takes at most 18 bytes there (`/proc/self/fd/NNN:`).
pub const MAX_LAYERS: usize = 200;

/// The driver. In addition to what all drivers keep, a layer has `lower`, the chain ids of itself
/// and all layers below, a line each, top first; a container has `fs` (what it changed), `work`
/// (the kernel's), the `lower` of its topmost layer (or, without layers, the folder `empty`), and,
/// once it was mounted in a namespace, `rootfs` (the mount point).
///
/// A container has no more files and folders than that needs, as each costs time twice, and much
/// of it where the file system tells the disk of every block that it frees (decision 0060).
#[derive(Debug)]
pub struct Overlay {
    home: Home,
}

impl Overlay {
    /// The driver on its folder.
    pub const fn new(home: Home) -> Self {
        Self { home }
    }

    /// The `fs` folders of the layer in `folder` and all below it, top first.
    fn stack(&self, folder: &Path) -> Result<Vec<PathBuf>, StorageError> {
        let path = folder.join("lower");
        let text = fs::read_to_string(&path).map_err(StorageError::io("read", &path))?;
        text.lines()
            .map(|line| {
                let digest = Digest::from_hex(line).map_err(|error| {
                    let error = io::Error::new(io::ErrorKind::InvalidData, error);
                    StorageError::io("read", &path)(error)
                })?;
                Ok(self.home.layer(&ChainId::new(digest)).join("fs"))
            })
            .collect()
    }

    /// A container's folder, and what lies below its own files.
    fn parts(&self, container: &TreeName) -> Result<(PathBuf, Vec<PathBuf>), StorageError> {
        let folder = self.home.container(container);
        let below = match self.stack(&folder) {
            Ok(below) => below,
            Err(StorageError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound && folder.join("empty").is_dir() =>
            {
                vec![folder.join("empty")]
            }
            Err(error) => return Err(error),
        };
        Ok((folder, below))
    }

    fn write_stack(
        &self,
        folder: &Path,
        chain: &ChainId,
        parent: Option<&ChainId>,
    ) -> Result<(), StorageError> {
        let mut lines = chain.hex() + "\n";
        if let Some(parent) = parent {
            let path = self.home.layer(parent).join("lower");
            let below = fs::read_to_string(&path).map_err(StorageError::io("read", &path))?;
            lines += &below;
        }
        if lines.lines().count() > MAX_LAYERS {
            return Err(StorageError::TooManyLayers(MAX_LAYERS));
        }
        let path = folder.join("lower");
        fs::write(&path, lines).map_err(StorageError::io("write", path))
    }
}

impl Driver for Overlay {
    fn name(&self) -> DriverName {
        DriverName::Overlay
    }

    fn commit_layer(
        &self,
        parent: Option<&ChainId>,
        fill: Fill<'_>,
    ) -> Result<ChainId, StorageError> {
        let staged = self.home.stage("layer")?;
        let upper = staged.path().join("fs");
        make_folder(&upper, 0o755)?;
        let filled = match parent {
            None => {
                let root = open_folder(&upper)?;
                fill(Filling {
                    root: root.as_fd(),
                    folder: staged.path(),
                })
                .map_err(StorageError::Fill)?
            }
            Some(parent) => {
                let below = self.stack(&self.home.existing(parent)?)?;
                if let Some(top) = below.first() {
                    copy_attributes(top, &upper)?;
                }
                let (work, merged) = (staged.path().join("work"), staged.path().join("rootfs"));
                make_folder(&work, 0o700)?;
                make_folder(&merged, 0o700)?;
                // Nobody else sees this mount, and it goes with the thread, however that ends.
                // `publish` brings all to the disk, so unmounting need not.
                let filled = in_private_mounts(|| {
                    let stack = Stack {
                        below: &below,
                        upper: &upper,
                        work: &work,
                    };
                    mount_overlay(&stack, &merged, Keep::No)?;
                    let root = open_folder(&merged)?;
                    fill(Filling {
                        root: root.as_fd(),
                        folder: staged.path(),
                    })
                    .map_err(StorageError::Fill)
                })?;
                for folder in [&work, &merged] {
                    remove_tree(folder).map_err(StorageError::io("remove", folder))?;
                }
                filled
            }
        };
        self.write_stack(staged.path(), &filled.chain, parent)?;
        self.home.publish(staged, filled, parent)?;
        Ok(filled.chain)
    }

    fn create(&self, container: &TreeName, top: Option<&ChainId>) -> Result<(), StorageError> {
        let folder = self.home.new_container(container)?;
        let upper = folder.join("fs");
        make_folder(&upper, 0o755)?;
        make_folder(&folder.join("work"), 0o700)?;
        match top {
            Some(top) => {
                let layer = self.home.existing(top)?;
                // The merged root shows the attributes of the upper folder.
                copy_attributes(&layer.join("fs"), &upper)?;
                share_file(&layer.join("lower"), &folder.join("lower"))
            }
            // An overlay needs something below.
            None => make_folder(&folder.join("empty"), 0o755),
        }
    }

    fn rootfs(&self, container: &TreeName, keep: Keep) -> Result<Option<Rootfs>, StorageError> {
        let (folder, below) = self.parts(container)?;
        let stack = Stack {
            below: &below,
            upper: &folder.join("fs"),
            work: &folder.join("work"),
        };
        let mount = detached_overlay(&stack, keep)
            .map_err(StorageError::io("make an overlay for", &folder))?;
        // Any folder will do to attach it to: only the container's own namespace sees it there.
        Ok(mount.map(|mount| Rootfs {
            path: folder,
            mount: Some(mount),
        }))
    }

    fn mount(&self, container: &TreeName, keep: Keep) -> Result<PathBuf, StorageError> {
        let (folder, below) = self.parts(container)?;
        let rootfs = folder.join("rootfs");
        if !rootfs.is_dir() {
            make_folder(&rootfs, 0o700)?;
        }
        let stack = Stack {
            below: &below,
            upper: &folder.join("fs"),
            work: &folder.join("work"),
        };
        mount_overlay(&stack, &rootfs, keep)?;
        Ok(rootfs)
    }

    fn unmount(&self, container: &TreeName) -> Result<(), StorageError> {
        let rootfs = self.home.container(container).join("rootfs");
        match umount2(&rootfs, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            // EINVAL: nothing is mounted there.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
            Err(errno) => Err(StorageError::io("unmount", rootfs)(errno)),
        }
    }

    fn remove(&self, tree: Tree<'_>) -> Result<(), StorageError> {
        match tree {
            Tree::Layer(chain) => self.home.discard(&self.home.layer(chain)),
            Tree::Container(name) => {
                // Straight away and not by way of the staging folder: the tree is nobody's any
                // more, and what a crash leaves of it is removed with the container's record.
                self.unmount(name)?;
                let folder = self.home.container(name);
                remove_tree(&folder).map_err(StorageError::io("remove", folder))
            }
        }
    }

    fn changes(&self, container: &TreeName) -> Result<Vec<Change>, StorageError> {
        let folder = self.home.container(container);
        let below = if folder.join("empty").is_dir() {
            Vec::new()
        } else {
            self.stack(&folder)?
        };
        compare::changes(&folder.join("fs"), &below, Presence::MeansChanged)
    }
}

/// Gives a file that nobody changes a second name: nothing of it has to be written or brought to
/// the disk.
fn share_file(file: &Path, name: &Path) -> Result<(), StorageError> {
    match fs::hard_link(file, name) {
        // ext4 allows 65,000 names.
        Err(error) if error.raw_os_error() == Some(Errno::EMLINK as i32) => {
            let copied = fs::copy(file, name).and_then(|_| File::open(name)?.sync_all());
            copied.map_err(StorageError::io("write", name))
        }
        linked => linked.map_err(StorageError::io("create", name)),
    }
}

fn make_folder(path: &Path, mode: u32) -> Result<(), StorageError> {
    fs::DirBuilder::new()
        .mode(mode)
        .create(path)
        .map_err(StorageError::io("create", path))
}

fn open_folder(path: &Path) -> Result<File, StorageError> {
    File::open(path).map_err(StorageError::io("open", path))
}

/// Mounts a small overlay for real in the driver's staging folder, and removes a file through it.
///
/// # Errors
/// [`StorageError::Unfit`] says what does not work.
pub(super) fn probe(home: &Home) -> Result<(), StorageError> {
    let staged = home.stage("probe")?;
    let part = |name: &str| staged.path().join(name);
    for name in ["one", "two", "fs", "work", "rootfs"] {
        make_folder(&part(name), 0o755)?;
    }
    File::create(part("one").join("file")).map_err(StorageError::io("create", part("one")))?;
    if !tells_types(&part("one"))? {
        return Err(unfit(
            format!(
                "the file system of `{}` does not tell the types of directory entries (d_type)",
                home.path().display()
            ),
            "put `--root` on a file system that does (XFS: made with `ftype=1`), or use `--storage-driver vfs`",
        ));
    }
    in_private_mounts(|| {
        let stack = Stack {
            below: &[part("one"), part("two")],
            upper: &part("fs"),
            work: &part("work"),
        };
        mount_overlay(&stack, &part("rootfs"), Keep::Yes)?;
        let file = part("rootfs").join("file");
        fs::remove_file(&file).map_err(StorageError::io("remove a file through an overlay,", file))
    })
    .map_err(|error| {
        let StorageError::Io { action, source, .. } = error else {
            return error;
        };
        let remedy = match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENODEV) => {
                "load the module (`modprobe overlay`), or use a kernel with CONFIG_OVERLAY_FS (3.18 or newer), or `--storage-driver vfs`"
            }
            Some(Errno::EPERM | Errno::EACCES) => "run keel as root",
            _ => {
                "put `--root` on ext4, XFS or btrfs (an overlay cannot lie on an overlay or NFS; the kernel log says more), or use `--storage-driver vfs`"
            }
        };
        unfit(format!("cannot {action} a folder in `{}`: {source}", home.path().display()), remedy)
    })
}

fn unfit(why: String, remedy: &'static str) -> StorageError {
    StorageError::Unfit {
        driver: DriverName::Overlay,
        requirement: "kernel.storage.overlay",
        why,
        remedy,
    }
}

/// Whether reading the folder tells the type of the file in it.
fn tells_types(folder: &Path) -> Result<bool, StorageError> {
    let open = open_folder(folder)?;
    let entries = super::remove::entries(open.as_fd()).map_err(StorageError::io("list", folder))?;
    Ok(entries.iter().all(|(_, kind)| kind.is_some()))
}
