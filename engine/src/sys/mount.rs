//! The mount calls that take descriptors (Linux 5.2, attributes 5.12).
#![expect(unsafe_code, reason = "open_tree, move_mount, mount_setattr")]

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;

use super::newer::{self, Newer};

/// How much of a tree of mounts an operation takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The one mount.
    Single,
    /// All mounts below too.
    Recursive,
}

/// Attributes to set and to clear: `MOUNT_ATTR_*` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Attributes {
    /// Bits to set.
    pub(crate) set: u64,
    /// Bits to clear.
    pub(crate) clear: u64,
}

/// `MOUNT_ATTR_RDONLY`
pub(crate) const ATTR_RDONLY: u64 = 0x01;
/// `MOUNT_ATTR_NOSUID`
pub(crate) const ATTR_NOSUID: u64 = 0x02;
/// `MOUNT_ATTR_NODEV`
pub(crate) const ATTR_NODEV: u64 = 0x04;
/// `MOUNT_ATTR_NOEXEC`
pub(crate) const ATTR_NOEXEC: u64 = 0x08;
/// `MOUNT_ATTR__ATIME`: the mask of the access time modes; must be cleared to set one.
pub(crate) const ATTR_ATIME: u64 = 0x70;
/// `MOUNT_ATTR_RELATIME`: the mode that is no bit.
pub(crate) const ATTR_RELATIME: u64 = 0x00;
/// `MOUNT_ATTR_NOATIME`
pub(crate) const ATTR_NOATIME: u64 = 0x10;
/// `MOUNT_ATTR_STRICTATIME`
pub(crate) const ATTR_STRICTATIME: u64 = 0x20;
/// `MOUNT_ATTR_NODIRATIME`
pub(crate) const ATTR_NODIRATIME: u64 = 0x80;
/// `MOUNT_ATTR_NOSYMFOLLOW` (5.14)
pub(crate) const ATTR_NOSYMFOLLOW: u64 = 0x20_0000;

/// `AT_FDCWD`, -100 sign-extended to a register.
const CURRENT_FOLDER: usize = usize::MAX - 99;
const AT_EMPTY_PATH: usize = 0x1000;
const AT_RECURSIVE: usize = 0x8000;
const OPEN_TREE_CLONE: usize = 1;
const OPEN_TREE_CLOEXEC: usize = libc::O_CLOEXEC as usize;
const MOVE_MOUNT_F_EMPTY_PATH: usize = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH: usize = 0x40;

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

const fn recursion(depth: Depth) -> usize {
    match depth {
        Depth::Single => 0,
        Depth::Recursive => AT_RECURSIVE,
    }
}

fn number(fd: BorrowedFd<'_>) -> Result<usize, Errno> {
    usize::try_from(fd.as_raw_fd()).map_err(|_| Errno::EBADF)
}

/// A detached copy of the mount (tree) at `path`: what a bind mount would attach.
pub(crate) fn clone_path(path: &CStr, depth: Depth) -> Result<OwnedFd, Errno> {
    open_tree(CURRENT_FOLDER, path, OPEN_TREE_CLONE | recursion(depth))
}

/// A detached copy of the mount (tree) at an open file.
pub(crate) fn clone_fd(file: BorrowedFd<'_>, depth: Depth) -> Result<OwnedFd, Errno> {
    open_tree(
        number(file)?,
        c"",
        OPEN_TREE_CLONE | AT_EMPTY_PATH | recursion(depth),
    )
}

fn open_tree(at: usize, path: &CStr, flags: usize) -> Result<OwnedFd, Errno> {
    let args = [at, path.as_ptr() as usize, flags | OPEN_TREE_CLOEXEC, 0, 0];
    // SAFETY: `path` is terminated and lives over the call.
    owned(unsafe { newer::call(Newer::OpenTree, args) }?)
}

/// An option of a new file system.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FsOption<'a> {
    /// `NAME`
    Flag(&'a CStr),
    /// `NAME=VALUE`; the kernel takes at most 255 bytes of value.
    Text(&'a CStr, &'a CStr),
}

/// A new file system as a detached mount: in no namespace, gone with its last descriptor unless
/// it was attached somewhere.
pub(crate) fn new_filesystem(kind: &CStr, options: &[FsOption<'_>]) -> Result<OwnedFd, Errno> {
    const CLOEXEC: usize = 1;
    // SAFETY: `kind` is terminated and lives over the call.
    let fd = unsafe { newer::call(Newer::Fsopen, [kind.as_ptr() as usize, CLOEXEC, 0, 0, 0]) }?;
    let context = owned(fd)?;
    for option in options {
        match option {
            FsOption::Flag(name) => configure(&context, SET_FLAG, Some(name), None)?,
            FsOption::Text(name, value) => {
                configure(&context, SET_STRING, Some(name), Some(value))?;
            }
        }
    }
    configure(&context, CMD_CREATE, None, None)?;
    let args = [number(context.as_fd())?, CLOEXEC, 0, 0, 0];
    // SAFETY: no pointers.
    owned(unsafe { newer::call(Newer::Fsmount, args) }?)
}

const SET_FLAG: usize = 0;
const SET_STRING: usize = 1;
const CMD_CREATE: usize = 6;

fn configure(
    context: &OwnedFd,
    command: usize,
    name: Option<&CStr>,
    value: Option<&CStr>,
) -> Result<(), Errno> {
    let pointer = |text: Option<&CStr>| text.map_or(0, |text| text.as_ptr() as usize);
    let args = [
        number(context.as_fd())?,
        command,
        pointer(name),
        pointer(value),
        0,
    ];
    // SAFETY: both texts are absent or terminated, and live over the call.
    unsafe { newer::call(Newer::Fsconfig, args) }.map(drop)
}

fn owned(fd: usize) -> Result<OwnedFd, Errno> {
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a detached mount onto an open file or folder.
pub(crate) fn attach(mount: BorrowedFd<'_>, onto: BorrowedFd<'_>) -> Result<(), Errno> {
    let args = [
        number(mount)?,
        c"".as_ptr() as usize,
        number(onto)?,
        c"".as_ptr() as usize,
        MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
    ];
    // SAFETY: both paths are static empty strings.
    unsafe { newer::call(Newer::MoveMount, args) }.map(drop)
}

/// Makes the files of a detached mount look as if they were those of the users that a user
/// namespace maps theirs to (Linux 5.12).
pub(crate) fn map_ids(
    mount: BorrowedFd<'_>,
    users: BorrowedFd<'_>,
    depth: Depth,
) -> Result<(), Errno> {
    const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;
    change(
        mount,
        &MountAttr {
            set: MOUNT_ATTR_IDMAP,
            clear: 0,
            propagation: 0,
            userns_fd: u64::try_from(users.as_raw_fd()).map_err(|_| Errno::EBADF)?,
        },
        depth,
    )
}

/// Changes attributes and propagation (`MS_SHARED` …, 0 for none) of a mount.
pub(crate) fn set_attributes(
    mount: BorrowedFd<'_>,
    attributes: Attributes,
    propagation: u64,
    depth: Depth,
) -> Result<(), Errno> {
    change(
        mount,
        &MountAttr {
            set: attributes.set,
            clear: attributes.clear,
            propagation,
            userns_fd: 0,
        },
        depth,
    )
}

fn change(mount: BorrowedFd<'_>, attr: &MountAttr, depth: Depth) -> Result<(), Errno> {
    let args = [
        number(mount)?,
        c"".as_ptr() as usize,
        AT_EMPTY_PATH | recursion(depth),
        std::ptr::from_ref(attr) as usize,
        size_of::<MountAttr>(),
    ];
    // SAFETY: the path is a static empty string; `attr` has the size given and lives over the call.
    unsafe { newer::call(Newer::MountSetattr, args) }.map(drop)
}
