//! Drivers whose layers hold what they changed, shown as one by a union file system of the kernel.
//!
//! A layer is filled through a mounted stack of the layers below, so whiteouts, opaque folders
//! and copies-up are the kernel's own work, in the form that this kernel understands.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use crate::image::digest::{ChainId, Digest};
use crate::storage::attributes::copy_attributes;
use crate::storage::compare::{self, Presence};
use crate::storage::copy::copy_tree;
use crate::storage::private::in_private_mounts;
use crate::storage::remove::remove_tree;
use crate::storage::whiteout::Whiteouts;
use crate::storage::{
    Change, Driver, DriverName, Fill, Filled, Filling, Home, Keep, Rootfs, StorageError, Tree,
    TreeName,
};

/// A file system of the kernel that shows a stack of folders as one.
pub trait Union: fmt::Debug + Send + Sync {
    /// The driver that it makes.
    const DRIVER: DriverName;
    /// How it keeps removals.
    const WHITEOUTS: Whiteouts;
    /// Layers that can lie below a writable folder in one mount.
    const MAX_LAYERS: usize;
    /// The folders that it wants for its own use beside the writable one.
    const WORK_FOLDERS: &'static [&'static str];

    /// Mounts the stack in the calling thread's mount namespace.
    fn mount(&self, stack: &Stack<'_>, target: &Path, keep: Keep) -> Result<(), StorageError>;

    /// The stack as a mount that is in no namespace; `None` where this kernel can't.
    fn detached(&self, stack: &Stack<'_>, keep: Keep) -> Result<Option<OwnedFd>, Errno>;
}

/// The folders of one mount.
#[derive(Debug, Clone, Copy)]
pub struct Stack<'a> {
    /// The layers, top first.
    pub below: &'a [PathBuf],
    /// Where the writable folder is, and those of the kernel's own use.
    pub folder: &'a Path,
}

impl Stack<'_> {
    /// The folder that takes what is written.
    pub fn upper(&self) -> PathBuf {
        self.folder.join(UPPER)
    }
}

const UPPER: &str = "fs";

/// The driver. In addition to what all drivers keep, a layer has `lower`, the chain ids of itself
/// and all layers below that it is mounted with, a line each, top first; a container has `fs`
/// (what it changed), the folders of the kernel's own use, the `lower` of its topmost layer (or,
/// without layers, the folder `empty`), and, once it was mounted in a namespace, `rootfs` (the
/// mount point).
///
/// A layer that would be one too many for a mount holds all that it shows, and is the lowest of a
/// new stack (decision 0090).
///
/// A container has no more files and folders than that needs, as each costs time twice, and much
/// of it where the file system tells the disk of every block that it frees (decision 0060).
#[derive(Debug)]
pub struct Stacked<U> {
    home: Home,
    union: U,
}

impl<U: Union> Stacked<U> {
    /// The driver on its folder.
    pub const fn new(home: Home, union: U) -> Self {
        Self { home, union }
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
                Ok(self.home.layer(&ChainId::new(digest)).join(UPPER))
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

    /// Lets `fill` write into `fs` of the staged `folder` through the stack of the layers below.
    fn fill_above(
        &self,
        folder: &Path,
        below: &[PathBuf],
        fill: Fill<'_>,
    ) -> Result<Filled, StorageError> {
        let stack = Stack { below, folder };
        if let Some(top) = below.first() {
            copy_attributes(top, &stack.upper())?;
        }
        let merged = folder.join("rootfs");
        Self::make_work_folders(folder)?;
        make_folder(&merged, 0o700)?;
        // Nobody else sees this mount, and it goes with the thread, however that ends.
        // `publish` brings all to the disk, so unmounting need not.
        let filled = in_private_mounts(|| {
            self.union.mount(&stack, &merged, Keep::No)?;
            let root = open_folder(&merged)?;
            let filled = fill(Filling {
                root: root.as_fd(),
                folder,
            });
            let filled = filled.map_err(StorageError::Fill)?;
            if below.len() >= U::MAX_LAYERS {
                let whole = folder.join("whole");
                make_folder(&whole, 0o755)?;
                copy_tree(&merged, &whole)?;
            }
            Ok(filled)
        })?;
        let work_folders = U::WORK_FOLDERS.iter().map(|name| folder.join(name));
        for unneeded in work_folders.chain([merged]) {
            remove_tree(&unneeded).map_err(StorageError::io("remove", unneeded))?;
        }
        Ok(filled)
    }

    fn make_work_folders(folder: &Path) -> Result<(), StorageError> {
        let mut names = U::WORK_FOLDERS.iter();
        names.try_for_each(|name| make_folder(&folder.join(name), 0o700))
    }

    /// Notes what a staged layer is to be mounted with.
    fn write_stack(
        &self,
        folder: &Path,
        chain: &ChainId,
        parent: Option<&ChainId>,
    ) -> Result<(), StorageError> {
        let whole = folder.join("whole");
        let mut lines = chain.hex() + "\n";
        if whole.is_dir() {
            let upper = folder.join(UPPER);
            remove_tree(&upper).map_err(StorageError::io("remove", &upper))?;
            fs::rename(&whole, upper).map_err(StorageError::io("rename", whole))?;
        } else if let Some(parent) = parent {
            let path = self.home.layer(parent).join("lower");
            let below = fs::read_to_string(&path).map_err(StorageError::io("read", &path))?;
            lines += &below;
        }
        let path = folder.join("lower");
        fs::write(&path, lines).map_err(StorageError::io("write", path))
    }
}

impl<U: Union> Driver for Stacked<U> {
    fn name(&self) -> DriverName {
        U::DRIVER
    }

    fn commit_layer(
        &self,
        parent: Option<&ChainId>,
        fill: Fill<'_>,
    ) -> Result<ChainId, StorageError> {
        let staged = self.home.stage("layer")?;
        let upper = staged.path().join(UPPER);
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
                self.fill_above(staged.path(), &below, fill)?
            }
        };
        self.write_stack(staged.path(), &filled.chain, parent)?;
        self.home.publish(staged, filled, parent)?;
        Ok(filled.chain)
    }

    fn create(&self, container: &TreeName, top: Option<&ChainId>) -> Result<(), StorageError> {
        let folder = self.home.new_container(container)?;
        let upper = folder.join(UPPER);
        make_folder(&upper, 0o755)?;
        Self::make_work_folders(&folder)?;
        match top {
            Some(top) => {
                let layer = self.home.existing(top)?;
                // The merged root shows the attributes of the upper folder.
                copy_attributes(&layer.join(UPPER), &upper)?;
                share_file(&layer.join("lower"), &folder.join("lower"))
            }
            // A union needs something below.
            None => make_folder(&folder.join("empty"), 0o755),
        }
    }

    fn rootfs(&self, container: &TreeName, keep: Keep) -> Result<Option<Rootfs>, StorageError> {
        let (folder, below) = self.parts(container)?;
        let stack = Stack {
            below: &below,
            folder: &folder,
        };
        let mount = self
            .union
            .detached(&stack, keep)
            .map_err(StorageError::io("make a mount for", &folder))?;
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
            folder: &folder,
        };
        self.union.mount(&stack, &rootfs, keep)?;
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
        let presence = Presence::MeansChanged(U::WHITEOUTS);
        compare::changes(&folder.join(UPPER), &below, presence)
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

pub(super) fn open_folder(path: &Path) -> Result<File, StorageError> {
    File::open(path).map_err(StorageError::io("open", path))
}

/// Mounts a small union for real in the driver's staging folder, and removes a file through it.
///
/// # Errors
/// What of it did not work; see [`unfit`].
pub(super) fn try_out<U: Union>(home: &Home, union: &U) -> Result<(), StorageError> {
    let staged = home.stage("probe")?;
    let part = |name: &str| staged.path().join(name);
    for name in ["one", "two", UPPER, "rootfs"] {
        make_folder(&part(name), 0o755)?;
    }
    for name in U::WORK_FOLDERS {
        make_folder(&part(name), 0o700)?;
    }
    File::create(part("one").join("file")).map_err(StorageError::io("create", part("one")))?;
    in_private_mounts(|| {
        let stack = Stack {
            below: &[part("one"), part("two")],
            folder: staged.path(),
        };
        union.mount(&stack, &part("rootfs"), Keep::Yes)?;
        let file = part("rootfs").join("file");
        fs::remove_file(&file).map_err(StorageError::io("remove a file through a mount,", file))
    })
}

/// What it means for the driver that [`try_out`] failed: `remedy` says what helps against what the
/// kernel said.
pub(super) fn unfit(
    driver: DriverName,
    requirement: &'static str,
    home: &Home,
    error: StorageError,
    remedy: impl FnOnce(Option<Errno>) -> &'static str,
) -> StorageError {
    let StorageError::Io { action, source, .. } = error else {
        return error;
    };
    StorageError::Unfit {
        driver,
        requirement,
        why: format!(
            "cannot {action} a folder in `{}`: {source}",
            home.path().display()
        ),
        remedy: remedy(source.raw_os_error().map(Errno::from_raw)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::overlay::OverlayFs;

    /// An overlay that is content with low stacks.
    #[derive(Debug)]
    struct Low;

    impl Union for Low {
        const DRIVER: DriverName = DriverName::Overlay;
        const WHITEOUTS: Whiteouts = Whiteouts::Devices;
        const MAX_LAYERS: usize = 2;
        const WORK_FOLDERS: &'static [&'static str] = OverlayFs::WORK_FOLDERS;

        fn mount(&self, stack: &Stack<'_>, target: &Path, keep: Keep) -> Result<(), StorageError> {
            assert!(stack.below.len() <= Self::MAX_LAYERS);
            OverlayFs.mount(stack, target, keep)
        }

        fn detached(&self, _: &Stack<'_>, _: Keep) -> Result<Option<OwnedFd>, Errno> {
            Ok(None)
        }
    }

    #[test]
    fn a_layer_too_many_begins_a_new_stack_and_shows_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let home = || Home::open(folder.path(), DriverName::Overlay).unwrap();
        let driver = Stacked::new(home(), Low);
        let mut top = None;
        for number in 0..5 {
            let chain = ChainId::new(Digest::of(&[number]));
            let committed = driver.commit_layer(top.as_ref(), &mut |layer| {
                let root = PathBuf::from(format!("/proc/self/fd/{}", {
                    use std::os::fd::AsRawFd as _;
                    layer.root.as_raw_fd()
                }));
                fs::write(root.join(format!("file-{number}")), [number])?;
                if number > 0 {
                    fs::remove_file(root.join(format!("file-{}", number - 1)))?;
                }
                Ok(Filled { chain, bytes: 1 })
            });
            top = Some(committed.unwrap());
        }

        let heights: Vec<usize> = (0..5u8)
            .map(|number| {
                let layer = home().layer(&ChainId::new(Digest::of(&[number])));
                driver.stack(&layer).unwrap().len()
            })
            .collect();
        assert_eq!(heights, [1, 2, 1, 2, 1]);
        let web = TreeName::new("web").unwrap();
        driver.create(&web, top.as_ref()).unwrap();
        let shown = in_private_mounts(|| {
            let rootfs = driver.mount(&web, Keep::Yes)?;
            let names = fs::read_dir(rootfs).unwrap();
            Ok(names
                .map(|entry| entry.unwrap().file_name())
                .collect::<Vec<_>>())
        });
        assert_eq!(shown.unwrap(), ["file-4"]);
    }
}
