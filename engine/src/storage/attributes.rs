//! Owner, mode, times and extended attributes of files, compared and carried over.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::libc::{S_IFLNK, S_IFMT};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, UtimensatFlags, fchmodat, fstatat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat};

use crate::storage::StorageError;
use crate::sys::xattr;

/// Attributes that say something about one overlay, not about the file: the second kind is that of
/// user namespaces.
const OVERLAY: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// What is looked at when two folders are open and an entry of the same name is in both.
pub(super) fn same(a: &FileStat, b: &FileStat) -> bool {
    let kind = a.st_mode & S_IFMT;
    a.st_mode == b.st_mode
        && a.st_uid == b.st_uid
        && a.st_gid == b.st_gid
        && a.st_rdev == b.st_rdev
        && (a.st_mtime, a.st_mtime_nsec) == (b.st_mtime, b.st_mtime_nsec)
        // A folder's size is the file system's business.
        && (kind == nix::libc::S_IFDIR || a.st_size == b.st_size)
}

/// An entry's extended attributes, sorted; those of overlays left out.
pub(super) fn xattrs(
    folder: BorrowedFd<'_>,
    entry: &OsStr,
) -> Result<Vec<(CString, Vec<u8>)>, Errno> {
    let mut found = Vec::new();
    for name in xattr::list_at(folder, entry)? {
        if OVERLAY.iter().any(|own| name.to_bytes().starts_with(own)) {
            continue;
        }
        if let Some(value) = xattr::get_at(folder, entry, &name)? {
            found.push((name, value));
        }
    }
    found.sort();
    Ok(found)
}

/// Gives the entry `to` the owner, mode, extended attributes and times of the entry `from`.
pub(super) fn carry_over(
    stat: &FileStat,
    from: (BorrowedFd<'_>, &OsStr),
    to: (BorrowedFd<'_>, &OsStr),
) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fchownat(
        to.0,
        to.1,
        Some(uid),
        Some(gid),
        AtFlags::AT_SYMLINK_NOFOLLOW,
    )?;
    if stat.st_mode & S_IFMT != S_IFLNK {
        // After chown, which takes set-user-id away. What is changed here is ours and no link.
        let mode = Mode::from_bits_truncate(stat.st_mode);
        fchmodat(to.0, to.1, mode, FchmodatFlags::FollowSymlink)?;
    }
    for (name, value) in xattrs(from.0, from.1)? {
        match xattr::set_at(to.0, to.1, &name, &value) {
            // Some file systems have labels of their own that nobody may set.
            Err(Errno::EOPNOTSUPP) => {}
            result => result?,
        }
    }
    set_times(stat, to)
}

/// Gives the entry the times of `stat`.
pub(super) fn set_times(stat: &FileStat, to: (BorrowedFd<'_>, &OsStr)) -> Result<(), Errno> {
    utimensat(
        to.0,
        to.1,
        &TimeSpec::new(stat.st_atime, stat.st_atime_nsec),
        &TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec),
        UtimensatFlags::NoFollowSymlink,
    )
}

/// Gives the folder `to` the attributes of the folder `from`.
pub(super) fn copy_attributes(from: &Path, to: &Path) -> Result<(), StorageError> {
    let work = || -> Result<(), Errno> {
        let open = |path: &Path| {
            openat(
                AT_FDCWD,
                path,
                OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
                Mode::empty(),
            )
        };
        let (from, to) = (open(from)?, open(to)?);
        let here = OsStr::new(".");
        let stat = fstatat(&from, here, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        carry_over(&stat, (from.as_fd(), here), (to.as_fd(), here))
    };
    work().map_err(StorageError::io("set the attributes of", to))
}
