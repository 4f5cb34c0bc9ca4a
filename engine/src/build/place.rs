//! Where a path leads in a tree whose links are not to be trusted.

use std::ffi::{OsStr, OsString};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::libc::{S_IFDIR, S_IFLNK, S_IFMT};
use nix::sys::stat::{Mode, fstat};

use crate::sys::in_root;

/// As many as the kernel follows.
const MAX_LINKS: u32 = 40;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// From the root, without links, `.` and `..`; empty for the root itself.
    pub(super) path: PathBuf,
    pub(super) there: There,
}

/// What is in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    Folder,
    /// A link too, where it is not followed.
    Other,
}

/// Follows `path` as a process would that has `root` as its root folder. What is missing at the
/// end of it is taken as it is written.
pub(super) fn follow(root: BorrowedFd<'_>, path: &Path) -> Result<Place, Errno> {
    let mut place = Place {
        path: PathBuf::new(),
        there: There::Folder,
    };
    let mut todo = components(path);
    let mut links = 0;
    while let Some(name) = todo.pop() {
        if name == ".." {
            place.path.pop();
            place.there = look(root, &place.path)?;
            continue;
        }
        if place.there == There::Other {
            return Err(Errno::ENOTDIR);
        }
        place.path.push(&name);
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        let open = match in_root::open(root, &place.path, flags, Mode::empty()) {
            Err(Errno::ENOENT) => {
                place.there = There::Nothing;
                continue;
            }
            open => open?,
        };
        let kind = fstat(&open)?.st_mode & S_IFMT;
        if kind == S_IFLNK {
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::ELOOP);
            }
            let target = readlinkat(&open, "")?;
            place.path.pop();
            if target.as_bytes().starts_with(b"/") {
                place.path.clear();
            }
            place.there = There::Folder;
            todo.extend(components(Path::new(&target)));
        } else {
            place.there = there(kind);
        }
    }
    Ok(place)
}

/// What is at `path` itself, be it a link.
pub(super) fn look(root: BorrowedFd<'_>, path: &Path) -> Result<There, Errno> {
    if path.as_os_str().is_empty() {
        return Ok(There::Folder);
    }
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    match in_root::open(root, path, flags, Mode::empty()) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(There::Nothing),
        open => Ok(there(fstat(&open?)?.st_mode & S_IFMT)),
    }
}

const fn there(kind: u32) -> There {
    if kind == S_IFDIR {
        There::Folder
    } else {
        There::Other
    }
}

/// The components, last first.
fn components(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.map(OsStr::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_inside_and_what_is_missing_is_kept() {
        let scene = tempfile::tempdir().unwrap();
        let path = scene.path();
        fs::create_dir_all(path.join("usr/lib")).unwrap();
        fs::write(path.join("usr/file"), "").unwrap();
        symlink("usr/lib", path.join("lib")).unwrap();
        symlink("/../../usr", path.join("up")).unwrap();
        symlink("/nowhere/at/all", path.join("away")).unwrap();
        symlink("b", path.join("a")).unwrap();
        symlink("a", path.join("b")).unwrap();
        let root = File::open(path).unwrap();
        let follow = |path: &str| follow(root.as_fd(), Path::new(path));
        for (path, expected, there) in [
            ("/", "", There::Folder),
            ("../../lib", "usr/lib", There::Folder),
            ("up/file", "usr/file", There::Other),
            ("lib/../file", "usr/file", There::Other),
            ("away/x", "nowhere/at/all/x", There::Nothing),
            ("lib/new/x/../y", "usr/lib/new/y", There::Nothing),
        ] {
            let place = follow(path).unwrap();
            assert_eq!(place.path, Path::new(expected), "{path}");
            assert_eq!(place.there, there, "{path}");
        }
        assert_eq!(follow("a"), Err(Errno::ELOOP));
        assert_eq!(follow("usr/file/x"), Err(Errno::ENOTDIR));
    }
}
