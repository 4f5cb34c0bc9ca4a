//! Removing a whole tree, links in it not followed.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, lstat, openat, unlink, unlinkat};
use rustix::io::Errno;
use rustix::path::Arg;

use crate::directory::each_name;

/// Removes the folder `path` with all that is in it, or the link `path`.
pub(crate) fn tree(path: &str) -> Result<(), Errno> {
    let kind = FileType::from_raw_mode(lstat(path)?.st_mode);
    if kind == FileType::Symlink {
        return unlink(path);
    }
    empty(CWD, path)?;
    unlinkat(CWD, path, AtFlags::REMOVEDIR)
}

/// Removes what is in a folder.
fn empty(parent: BorrowedFd<'_>, name: impl Arg) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(parent, name, flags, Mode::empty())?;
    // All names first: what removing does to a folder that is being read is the driver's choice.
    let mut names = Vec::new();
    each_name(&folder, |name| {
        names.push(name.to_owned());
        Ok(())
    })?;
    for name in &names {
        match unlinkat(&folder, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {
                empty(folder.as_fd(), name)?;
                unlinkat(&folder, name, AtFlags::REMOVEDIR)?;
            }
            // Gone meanwhile.
            Err(Errno::NOENT) => {}
            other => other?,
        }
    }
    Ok(())
}
