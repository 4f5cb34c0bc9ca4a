//! How union file systems keep removals in their folders.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::libc::{S_IFCHR, S_IFMT};
use nix::sys::stat::{FileStat, fstatat};

use crate::sys::user_namespace::{Users, users};
use crate::sys::xattr;

/// How removals are kept in a folder of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whiteouts {
    /// Overlay: a character device 0:0 in the place of what was removed; `trusted.overlay.opaque`
    /// (in a user namespace `user.overlay.opaque`) on a folder that hides all below it
    /// (`Documentation/filesystems/overlayfs.rst`).
    Devices,
    /// Aufs: a file `.wh.NAME` beside where `NAME` was; `.wh..wh.opq` in a folder that hides all
    /// below it (`Documentation/filesystems/aufs/design/01intro.txt` of its tree).
    Files,
}

/// What a name in a folder of changes stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// An entry.
    Entry(CString),
    /// The removal of this one.
    Removed(CString),
    /// Nothing that users would see.
    Internal,
}

const PREFIX: &[u8] = b".wh.";
const OPAQUE: &CStr = c".wh..wh.opq";

impl Whiteouts {
    /// What the entry called `name` stands for, as far as its name tells.
    pub(super) fn meaning(self, name: CString) -> Meaning {
        match (self, name.to_bytes().strip_prefix(PREFIX)) {
            (Self::Devices, _) | (Self::Files, None) => Meaning::Entry(name),
            // `.wh..wh.` begins what aufs keeps for itself: opaque marks, pseudo-links, orphans.
            (Self::Files, Some(removed)) if removed.starts_with(PREFIX) => Meaning::Internal,
            (Self::Files, Some(removed)) => match CString::new(removed) {
                Ok(removed) if !removed.is_empty() => Meaning::Removed(removed),
                Ok(_) | Err(_) => Meaning::Internal,
            },
        }
    }

    /// Whether what is there in the place of an entry says that there is none.
    pub(super) fn is_whiteout(self, stat: &FileStat) -> bool {
        match self {
            Self::Devices => stat.st_mode & S_IFMT == S_IFCHR && stat.st_rdev == 0,
            Self::Files => false,
        }
    }

    /// Whether the folder of changes says beside the entry's place that there is none below.
    pub(super) fn hides(self, folder: BorrowedFd<'_>, name: &CStr) -> Result<bool, Errno> {
        match self {
            Self::Devices => Ok(false),
            Self::Files => {
                let whiteout = CString::new([PREFIX, name.to_bytes()].concat());
                exists(folder, &whiteout.map_err(|_| Errno::EINVAL)?)
            }
        }
    }

    /// Whether the folder `name` in `parent`, open as `folder`, hides all that is below it.
    pub(super) fn is_opaque(
        self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        folder: BorrowedFd<'_>,
    ) -> Result<bool, Errno> {
        match self {
            Self::Devices => {
                let entry = OsStr::from_bytes(name.to_bytes());
                let mark = match users() {
                    Users::Hosts => c"trusted.overlay.opaque",
                    Users::Mapped => c"user.overlay.opaque",
                };
                let value = xattr::get_at(parent, entry, mark)?;
                Ok(value.is_some_and(|value| value == b"y"))
            }
            Self::Files => exists(folder, OPAQUE),
        }
    }
}

fn exists(folder: BorrowedFd<'_>, name: &CStr) -> Result<bool, Errno> {
    match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        // ENAMETOOLONG: the file system could not hold it.
        Err(Errno::ENOENT | Errno::ENAMETOOLONG) => Ok(false),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_aufs_means_by_them() {
        let meaning = |name: &str| Whiteouts::Files.meaning(CString::new(name).unwrap());
        let named = |name: &str| CString::new(name).unwrap();
        assert_eq!(meaning("file"), Meaning::Entry(named("file")));
        assert_eq!(meaning(".whale"), Meaning::Entry(named(".whale")));
        assert_eq!(meaning(".wh.file"), Meaning::Removed(named("file")));
        for own in [
            ".wh..wh.opq",
            ".wh..wh.plnk",
            ".wh..wh.orph",
            ".wh..wh.aufs",
            ".wh.",
        ] {
            assert_eq!(meaning(own), Meaning::Internal, "{own}");
        }
        let overlay = Whiteouts::Devices.meaning(named(".wh.file"));
        assert_eq!(overlay, Meaning::Entry(named(".wh.file")));
    }
}
