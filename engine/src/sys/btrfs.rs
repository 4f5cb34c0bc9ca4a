//! Subvolumes of btrfs, by ioctl (linux/btrfs.h; since 2.6.29, snapshots with flags since 2.6.38).

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::sys::statfs::{BTRFS_SUPER_MAGIC, fstatfs};

/// Inode number of the root folder of each subvolume.
pub const ROOT_INODE: u64 = 256;

const IOCTL: u8 = 0x94;

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct VolArgs {
    fd: i64,
    name: [u8; 4088],
}

/// `struct btrfs_ioctl_vol_args_v2`.
#[repr(C)]
struct VolArgsV2 {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; 4040],
}

mod request {
    use super::{IOCTL, VolArgs, VolArgsV2};
    nix::ioctl_write_ptr!(
        /// `BTRFS_IOC_SUBVOL_CREATE`.
        subvol_create, IOCTL, 14, VolArgs
    );
    nix::ioctl_write_ptr!(
        /// `BTRFS_IOC_SNAP_DESTROY`.
        snap_destroy, IOCTL, 15, VolArgs
    );
    nix::ioctl_write_ptr!(
        /// `BTRFS_IOC_SNAP_CREATE_V2`.
        snap_create_v2, IOCTL, 23, VolArgsV2
    );
}

/// `name` with zeros behind it, as the kernel's fixed arrays want it.
fn padded<const N: usize>(name: &CStr) -> Result<[u8; N], Errno> {
    let mut array = [0; N];
    let bytes = name.to_bytes();
    if bytes.len() >= N {
        return Err(Errno::ENAMETOOLONG);
    }
    for (slot, byte) in array.iter_mut().zip(bytes) {
        *slot = *byte;
    }
    Ok(array)
}

/// Whether the descriptor's file lies on btrfs.
pub fn is_btrfs(file: impl AsFd) -> Result<bool, Errno> {
    Ok(fstatfs(file)?.filesystem_type() == BTRFS_SUPER_MAGIC)
}

/// Makes an empty subvolume `name` in `folder`.
pub fn create(folder: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let args = VolArgs {
        fd: 0,
        name: padded(name)?,
    };
    // SAFETY: `args` is the struct that this request reads, alive during the call, and its name
    // ends with a zero because `padded` leaves at least one.
    unsafe { request::subvol_create(folder.as_raw_fd(), &raw const args) }.map(drop)
}

/// Makes `name` in `folder`, a writable snapshot of the subvolume whose root is `source`.
pub fn snapshot(folder: BorrowedFd<'_>, name: &CStr, source: BorrowedFd<'_>) -> Result<(), Errno> {
    let args = VolArgsV2 {
        fd: i64::from(source.as_raw_fd()),
        transid: 0,
        flags: 0,
        unused: [0; 4],
        name: padded(name)?,
    };
    // SAFETY: as in `create`; `source` stays open during the call.
    unsafe { request::snap_create_v2(folder.as_raw_fd(), &raw const args) }.map(drop)
}

/// Removes the subvolume `name` of `folder` with all its files; the kernel frees them later.
///
/// # Errors
/// `ENOTEMPTY` when there is another subvolume in it.
pub fn destroy(folder: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let args = VolArgs {
        fd: 0,
        name: padded(name)?,
    };
    // SAFETY: as in `create`.
    unsafe { request::snap_destroy(folder.as_raw_fd(), &raw const args) }.map(drop)
}

const _: () = assert!(size_of::<VolArgs>() == 4096 && size_of::<VolArgsV2>() == 4096);
