//! Removes whole trees: inside only, however deep, subvolumes included.

use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::sys::btrfs;

/// Folders that are open at once. A container can nest folders until their path is far longer
/// than `PATH_MAX`; what lies deeper is moved up to the top first.
const MAX_OPEN: usize = 32;

/// Removes `path` and all below it without following any link. What is gone already is fine.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let top = match openat(AT_FDCWD, path, FOLDER, Mode::empty()) {
        Ok(top) => top,
        Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::ENOTDIR | Errno::ELOOP) => return fs::remove_file(path),
        Err(errno) => return Err(errno.into()),
    };
    let mut removal = Removal {
        top: top.as_fd(),
        moved: 0,
    };
    removal.empty_wholly()?;
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the entry `name` of `folder`, whatever it is. What is gone already is fine.
pub(crate) fn remove_entry(folder: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    let name = CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)?;
    match unlinkat(folder, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
        // EISDIR: it is a folder, says Linux; EPERM, says POSIX.
        Err(Errno::EISDIR | Errno::EPERM) => {}
        result => return gone(result),
    }
    let top = match openat(folder, name.as_c_str(), FOLDER, Mode::empty()) {
        Ok(top) => top,
        result => return gone(result.map(drop)),
    };
    let mut removal = Removal {
        top: top.as_fd(),
        moved: 0,
    };
    removal.empty_wholly()?;
    gone(unlinkat(folder, name.as_c_str(), UnlinkatFlags::RemoveDir))
}

const FOLDER: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

struct Removal<'a> {
    top: BorrowedFd<'a>,
    /// How many deep folders were moved up.
    moved: u64,
}

impl Removal<'_> {
    /// Empties the top, again as long as something was moved up to it.
    fn empty_wholly(&mut self) -> Result<(), Errno> {
        loop {
            let before = self.moved;
            self.empty(self.top, 0)?;
            if self.moved == before {
                return Ok(());
            }
        }
    }

    fn empty(&mut self, folder: BorrowedFd<'_>, depth: usize) -> Result<(), Errno> {
        // All names first: a folder that shrinks while it is read may hide some.
        for (name, kind) in entries(folder)? {
            if kind.is_none_or(|kind| kind == Type::Directory) {
                self.remove_folder(folder, &name, depth)?;
            } else {
                gone(unlinkat(
                    folder,
                    name.as_c_str(),
                    UnlinkatFlags::NoRemoveDir,
                ))?;
            }
        }
        Ok(())
    }

    fn remove_folder(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        depth: usize,
    ) -> Result<(), Errno> {
        let folder = match open_folder(parent, name) {
            Ok(folder) => folder,
            Err(Errno::ENOENT) => return Ok(()),
            // The file system did not tell the type, and it is no folder.
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                return gone(unlinkat(parent, name, UnlinkatFlags::NoRemoveDir));
            }
            Err(errno) => return Err(errno),
        };
        if fstat(&folder)?.st_ino == btrfs::ROOT_INODE && btrfs::is_btrfs(&folder)? {
            match btrfs::destroy(parent, name) {
                // Subvolumes in it, which a container can make: they go first, one by one.
                Err(Errno::ENOTEMPTY) => {
                    self.empty(folder.as_fd(), depth + 1)?;
                    return gone(btrfs::destroy(parent, name));
                }
                result => return gone(result),
            }
        }
        if depth >= MAX_OPEN {
            self.moved += 1;
            let name_on_top = format!("moved-up-{}", self.moved);
            return renameat(parent, name, self.top, name_on_top.as_str());
        }
        self.empty(folder.as_fd(), depth + 1)?;
        match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
            // Deep folders were moved out of it, never into it: only `top` is not empty here.
            Err(Errno::ENOENT) => Ok(()),
            result => result,
        }
    }
}

/// Opens a folder, taking back rights that its owner took away (for users that are not root).
fn open_folder(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    match openat(parent, name, FOLDER, Mode::empty()) {
        Err(Errno::EACCES) => {
            fchmodat(parent, name, Mode::S_IRWXU, FchmodatFlags::NoFollowSymlink)?;
            openat(parent, name, FOLDER, Mode::empty())
        }
        result => result,
    }
}

/// The entries of a folder without `.` and `..`.
pub(crate) fn entries(folder: BorrowedFd<'_>) -> Result<Vec<(CString, Option<Type>)>, Errno> {
    let mut open = Dir::openat(folder, ".", FOLDER, Mode::empty())?;
    let mut names = Vec::new();
    for entry in open.iter() {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    Ok(names)
}

/// What somebody else removed already is removed.
fn gone(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::ENOENT) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_out_of_the_tree_are_removed_and_not_followed() {
        let scene = tempfile::tempdir().unwrap();
        let outside = scene.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "x").unwrap();
        let tree = scene.path().join("tree");
        fs::create_dir(&tree).unwrap();
        symlink(&outside, tree.join("link")).unwrap();
        fs::hard_link(outside.join("precious"), tree.join("hard")).unwrap();

        remove_tree(&tree).unwrap();

        assert!(!tree.exists());
        assert!(outside.join("precious").exists());
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_removed() {
        let scene = tempfile::tempdir().unwrap();
        let tree = scene.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut here = openat(AT_FDCWD, &tree, FOLDER, Mode::empty()).unwrap();
        for _ in 0..3000 {
            nix::sys::stat::mkdirat(&here, "deeper", Mode::S_IRWXU).unwrap();
            here = openat(&here, "deeper", FOLDER, Mode::empty()).unwrap();
        }

        remove_tree(&tree).unwrap();

        assert!(!tree.exists());
    }

    #[test]
    fn what_is_not_there_is_removed() {
        let scene = tempfile::tempdir().unwrap();
        remove_tree(&scene.path().join("nothing")).unwrap();
    }
}
