//! What a storage driver is, and the laws that all of them keep.

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::image::digest::ChainId;
use crate::storage::StorageError;

/// Writes a layer's own files into the merged view of the layers below, and says which layer that
/// was: for an imported tar this is known only at its end.
///
/// The function may be called on another thread. Its error aborts the layer: nothing of it becomes
/// visible.
pub type Fill<'a> = &'a mut (
            dyn FnMut(Filling<'_>) -> Result<Filled, Box<dyn std::error::Error + Send + Sync>>
                + Send
        );

/// A layer in the making.
#[derive(Debug, Clone, Copy)]
pub struct Filling<'a> {
    /// The root folder of the merged view, opened for reading.
    pub root: BorrowedFd<'a>,
    /// The layer's own folder. What is put there besides what the driver keeps in it becomes
    /// visible, and goes, with the layer.
    pub folder: &'a Path,
}

/// Which layer was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filled {
    /// Its identity.
    pub chain: ChainId,
    /// Bytes of the files that it brings, for the record.
    pub bytes: u64,
}

/// One of the trees that a driver keeps.
#[derive(Debug, Clone, Copy)]
pub enum Tree<'a> {
    /// An image's layer. The caller knows that no other layer and no container stands on it.
    Layer(&'a ChainId),
    /// A container's writable tree, not mounted.
    Container(&'a TreeName),
}

/// Keeps layers, and the writable trees of containers on top of them.
///
/// The laws, which `engine/tests/storage.rs` holds every driver to:
///
/// 1. **Atomic.** A layer is visible wholly or not at all, also after a crash at any point. What a
///    crash leaves is in the staging folder, and [`Home::clean`](super::Home::clean) removes it.
/// 2. **The merged view is the contract.** A layer is filled through a folder that shows all
///    layers below, and is what changed there: a removal is a whiteout, in whatever form the
///    driver keeps it. So two drivers that were filled alike show alike: names, types, contents,
///    modes, owners, times, extended attributes, hard links, holes.
/// 3. **Isolated.** What one container writes shows in no other container and in no layer.
/// 4. **Idempotent.** Committing a layer that exists leaves the one that is there; removing what does not exist, and unmounting what is not mounted, succeed.
/// 5. **Truthful.** `changes` lists what differs from the container's layers and nothing else
///    (but may list files that were opened for writing and not changed, and folders that hold
///    a change), sorted by path, parents first.
///
/// Callers hold the image store's lock (shared to add or use, exclusive to remove a layer), and
/// the container's own lock for its tree; drivers take none but those of their staging folders.
pub trait Driver: fmt::Debug + Send + Sync {
    /// The name by which users choose it.
    fn name(&self) -> DriverName;

    /// Makes a layer on top of `parent`, or on nothing, and lets `fill` write it.
    ///
    /// On return the layer is on the disk, whatever happens to the machine.
    fn commit_layer(
        &self,
        parent: Option<&ChainId>,
        fill: Fill<'_>,
    ) -> Result<ChainId, StorageError>;

    /// Makes a writable tree for a container on top of the layer `top`, or an empty one.
    fn create(&self, container: &TreeName, top: Option<&ChainId>) -> Result<(), StorageError>;

    /// Says where the container's tree is, without mounting anything in any namespace; `None` where
    /// this driver on this kernel cannot, and [`mount`](Self::mount) is the way.
    fn rootfs(&self, container: &TreeName, keep: Keep) -> Result<Option<Rootfs>, StorageError>;

    /// Makes the container's tree usable and says where it is. A driver that needs a mount makes
    /// it in the mount namespace of the calling process: made in the container's own namespace,
    /// it goes with the container, whatever ends it.
    fn mount(&self, container: &TreeName, keep: Keep) -> Result<PathBuf, StorageError>;

    /// Undoes `mount` in the mount namespace of the calling process.
    fn unmount(&self, container: &TreeName) -> Result<(), StorageError>;

    /// Removes a tree for good.
    fn remove(&self, tree: Tree<'_>) -> Result<(), StorageError>;

    /// What the container changed in comparison with its layers. The tree may be mounted.
    fn changes(&self, container: &TreeName) -> Result<Vec<Change>, StorageError>;
}

/// Where a container's root file system is: in no mount namespace, or there without any mount.
#[derive(Debug)]
pub struct Rootfs {
    /// Its root folder, or where to attach the mount.
    pub path: PathBuf,
    /// The tree as a detached mount, gone when nobody has it open any more.
    pub mount: Option<OwnedFd>,
}

impl Rootfs {
    /// One that is there without any mount of its own to attach.
    pub fn at(path: PathBuf) -> Self {
        Self { path, mount: None }
    }
}

/// Whether what is written to a container's tree must outlive the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It is wanted later: unmounting waits until it is on the disk.
    Yes,
    /// The tree is removed after the mount, and is never mounted again.
    No,
}

/// The drivers, by the names that `--storage-driver` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriverName {
    /// Kernel overlays: `overlay`.
    Overlay,
    /// Subvolumes and snapshots: `btrfs`.
    Btrfs,
    /// Whole copies, sharing blocks where the file system can: `vfs`.
    Vfs,
    /// Union mounts of kernels with the aufs patches: `aufs`.
    Aufs,
}

impl DriverName {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Btrfs => "btrfs",
            Self::Vfs => "vfs",
            Self::Aufs => "aufs",
        }
    }
}

impl fmt::Display for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for DriverName {
    type Err = StorageError;

    fn from_str(text: &str) -> Result<Self, StorageError> {
        [Self::Overlay, Self::Btrfs, Self::Vfs, Self::Aufs]
            .into_iter()
            .find(|driver| driver.as_str() == text)
            .ok_or_else(|| StorageError::UnknownDriver(text.chars().take(100).collect()))
    }
}

/// The folder name of a container's tree: readable, such as `web-1-3f2a9c01b7d4`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TreeName(String);

impl TreeName {
    /// # Errors
    /// Anything but letters, figures, `_`, `.` and `-`, a first character that is no letter or
    /// figure, or more than 255 bytes: a file's name that needs no quoting.
    pub fn new(name: impl Into<String>) -> Result<Self, StorageError> {
        let name = name.into();
        let fits = (1..=255).contains(&name.len())
            && name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if fits {
            Ok(Self(name))
        } else {
            Err(StorageError::TreeName(name.chars().take(100).collect()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<Path> for TreeName {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl fmt::Display for TreeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path that differs between a container and its layers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// From the root of the tree, starting with `/`.
    pub path: PathBuf,
    /// How it differs.
    pub kind: ChangeKind,
}

/// How a path differs, and the letter that `keel diff` prints for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// `A`: not in the layers.
    Added,
    /// `C`: in both, with other contents or attributes, or holding a change.
    Changed,
    /// `D`: only in the layers.
    Deleted,
}

impl ChangeKind {
    /// `A`, `C` or `D`.
    pub const fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Changed => 'C',
            Self::Deleted => 'D',
        }
    }
}
