//! What a container changed, found by looking at its tree and the layers below.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat};
use nix::libc::{S_IFDIR, S_IFLNK, S_IFMT, S_IFREG};
use nix::sys::stat::{FileStat, Mode, fstatat};

use crate::image::limits::MAX_DEPTH;
use crate::storage::attributes::{same, xattrs};
use crate::storage::remove::entries;
use crate::storage::whiteout::{Meaning, Whiteouts};
use crate::storage::{Change, ChangeKind, Home, StorageError, TreeName};

const FOLDER: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// What it means that a file is in the container's tree.
#[derive(Debug, Clone, Copy)]
pub(super) enum Presence {
    /// The tree has only what was changed; removals are whiteouts.
    MeansChanged(Whiteouts),
    /// The tree has everything; removed is what is missing. What was last touched before this
    /// time (seconds, nanoseconds), when the tree was ready, is as it was in the layer.
    MeansNothing { ready: (i64, i64) },
}

/// The changes of a container whose tree and layer hold everything.
pub(super) fn with_layer(home: &Home, container: &TreeName) -> Result<Vec<Change>, StorageError> {
    let folder = home.container(container);
    let rootfs = folder.join("rootfs");
    match home.top_of(container)? {
        None => changes(&rootfs, &[], Presence::MeansChanged(Whiteouts::Devices)),
        Some(top) => {
            // The link to the layer is made when the tree is ready, and its change time is the
            // file system's own clock, which nobody in the container can set.
            let link = folder.join("layer");
            let made =
                std::fs::symlink_metadata(&link).map_err(StorageError::io("examine", link))?;
            let presence = Presence::MeansNothing {
                ready: (made.ctime(), made.ctime_nsec()),
            };
            changes(&rootfs, &[home.layer(&top).join("fs")], presence)
        }
    }
}

/// The changes in the tree `upper` against the layers `below`, top first.
pub(super) fn changes(
    upper: &Path,
    below: &[PathBuf],
    presence: Presence,
) -> Result<Vec<Change>, StorageError> {
    let open = |path: &Path| {
        openat(AT_FDCWD, path, FOLDER, Mode::empty()).map_err(StorageError::io("open", path))
    };
    let root = open(upper)?;
    let below = below
        .iter()
        .map(|path| open(path))
        .collect::<Result<Vec<_>, _>>()?;
    let mut comparison = Comparison {
        presence,
        upper,
        path: PathBuf::from("/"),
        depth: 0,
    };
    let rest = match presence {
        Presence::MeansChanged(_) => Rest::IsUnchanged,
        Presence::MeansNothing { .. } => Rest::IsRemoved,
    };
    comparison.folder(root.as_fd(), &below, rest)
}

/// What became of the entries of a folder below that are not in the folder above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    IsUnchanged,
    IsRemoved,
}

/// Where a name was seen that two folders are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Above,
    /// Only its removal is above.
    RemovedAbove,
    /// Only below.
    Below,
}

/// What the layers below show under a name.
struct Below {
    stat: FileStat,
    /// Which of the folders below holds it.
    holder: usize,
    /// If it is a folder, all that are merged into it, top first.
    folders: Vec<OwnedFd>,
}

struct Comparison<'a> {
    presence: Presence,
    upper: &'a Path,
    path: PathBuf,
    depth: usize,
}

impl Comparison<'_> {
    fn folder(
        &mut self,
        upper: BorrowedFd<'_>,
        below: &[OwnedFd],
        rest: Rest,
    ) -> Result<Vec<Change>, StorageError> {
        if self.depth > MAX_DEPTH {
            return Err(StorageError::TooDeep {
                path: self.upper.to_owned(),
                limit: MAX_DEPTH,
            });
        }
        let names = self
            .names(upper, below, rest)
            .map_err(StorageError::io("list", &self.path))?;
        let mut found = Vec::new();
        for (name, seen) in names {
            self.path.push(OsStr::from_bytes(name.to_bytes()));
            let under = self.below(below, &name)?;
            match seen {
                Seen::Above => self.entry(upper, &name, below, under, rest, &mut found)?,
                Seen::RemovedAbove | Seen::Below if under.is_some() => {
                    found.push(self.change(ChangeKind::Deleted));
                }
                Seen::RemovedAbove | Seen::Below => {}
            }
            self.path.pop();
        }
        Ok(found)
    }

    /// The names to look at in a folder.
    fn names(
        &self,
        upper: BorrowedFd<'_>,
        below: &[OwnedFd],
        rest: Rest,
    ) -> Result<BTreeMap<CString, Seen>, Errno> {
        let mut names = BTreeMap::new();
        for (name, _) in entries(upper)? {
            match self.meaning(name) {
                Meaning::Entry(name) => drop(names.insert(name, Seen::Above)),
                Meaning::Removed(name) => {
                    names.entry(name).or_insert(Seen::RemovedAbove);
                }
                Meaning::Internal => {}
            }
        }
        if rest == Rest::IsRemoved {
            for folder in below {
                for (name, _) in entries(folder.as_fd())? {
                    if let Meaning::Entry(name) = self.meaning(name) {
                        names.entry(name).or_insert(Seen::Below);
                    }
                }
            }
        }
        Ok(names)
    }

    fn meaning(&self, name: CString) -> Meaning {
        match self.presence {
            Presence::MeansChanged(whiteouts) => whiteouts.meaning(name),
            Presence::MeansNothing { .. } => Meaning::Entry(name),
        }
    }

    fn entry(
        &mut self,
        upper: BorrowedFd<'_>,
        name: &CStr,
        below: &[OwnedFd],
        under: Option<Below>,
        rest: Rest,
        found: &mut Vec<Change>,
    ) -> Result<(), StorageError> {
        let stat = match fstatat(upper, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Ok(()), // A running container removed it just now.
            Err(errno) => return Err(self.failed(errno)),
        };
        if self.whiteouts().is_some_and(|form| form.is_whiteout(&stat)) {
            if under.is_some() {
                found.push(self.change(ChangeKind::Deleted));
            }
            return Ok(());
        }
        let own = match &under {
            None => Some(ChangeKind::Added),
            Some(under) => self
                .differs(upper, name, &stat, below, under)
                .map_err(|errno| self.failed(errno))?
                .then_some(ChangeKind::Changed),
        };
        let inner = if stat.st_mode & S_IFMT == S_IFDIR {
            let folder = openat(upper, name, FOLDER, Mode::empty()).map_err(|e| self.failed(e))?;
            let opaque = self.is_opaque(upper, name, folder.as_fd())?;
            let rest = if opaque { Rest::IsRemoved } else { rest };
            let folders = under.map(|under| under.folders).unwrap_or_default();
            self.depth += 1;
            let inner = self.folder(folder.as_fd(), &folders, rest)?;
            self.depth -= 1;
            inner
        } else {
            Vec::new()
        };
        // A folder that holds a change is a change.
        match own {
            Some(kind) => found.push(self.change(kind)),
            None if !inner.is_empty() => found.push(self.change(ChangeKind::Changed)),
            None => {}
        }
        found.extend(inner);
        Ok(())
    }

    /// What the layers below show under `name`, if they show anything.
    fn below(&self, below: &[OwnedFd], name: &CStr) -> Result<Option<Below>, StorageError> {
        let mut found: Option<Below> = None;
        for (holder, layer) in below.iter().enumerate() {
            let stat = match fstatat(layer, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::ENOENT) => {
                    let whiteouts = self.whiteouts();
                    let hidden = whiteouts.map(|form| form.hides(layer.as_fd(), name));
                    if hidden.transpose().map_err(|e| self.failed(e))? == Some(true) {
                        break;
                    }
                    continue;
                }
                Err(errno) => return Err(self.failed(errno)),
            };
            let is_folder = stat.st_mode & S_IFMT == S_IFDIR;
            if self.whiteouts().is_some_and(|form| form.is_whiteout(&stat)) {
                break;
            }
            if !is_folder && found.is_some() {
                break; // Hidden by the folder above it.
            }
            let under = found.get_or_insert(Below {
                stat,
                holder,
                folders: Vec::new(),
            });
            if !is_folder {
                break;
            }
            let folder = openat(layer, name, FOLDER, Mode::empty()).map_err(|e| self.failed(e))?;
            let opaque = self.is_opaque(layer.as_fd(), name, folder.as_fd())?;
            under.folders.push(folder);
            if opaque {
                break;
            }
        }
        Ok(found)
    }

    fn differs(
        &self,
        upper: BorrowedFd<'_>,
        name: &CStr,
        stat: &FileStat,
        below: &[OwnedFd],
        under: &Below,
    ) -> Result<bool, Errno> {
        if !same(stat, &under.stat) {
            return Ok(true);
        }
        let kind = stat.st_mode & S_IFMT;
        match self.presence {
            // Not copied up for nothing; folders are, for what is in them.
            Presence::MeansChanged(_) if kind != S_IFDIR => return Ok(true),
            Presence::MeansNothing { ready } if (stat.st_ctime, stat.st_ctime_nsec) < ready => {
                return Ok(false);
            }
            Presence::MeansChanged(_) | Presence::MeansNothing { .. } => {}
        }
        let Some(holder) = below.get(under.holder) else {
            return Ok(true);
        };
        let entry = OsStr::from_bytes(name.to_bytes());
        if xattrs(upper, entry)? != xattrs(holder.as_fd(), entry)? {
            return Ok(true);
        }
        match kind {
            S_IFLNK => Ok(readlinkat(upper, name)? != readlinkat(holder, name)?),
            S_IFREG => {
                let read = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let a = openat(upper, name, read, Mode::empty())?;
                let b = openat(holder, name, read, Mode::empty())?;
                same_contents(File::from(a), File::from(b))
                    .map(|same| !same)
                    .map_err(|error| {
                        Errno::from_raw(error.raw_os_error().unwrap_or(nix::libc::EIO))
                    })
            }
            _ => Ok(false),
        }
    }

    fn whiteouts(&self) -> Option<Whiteouts> {
        match self.presence {
            Presence::MeansChanged(whiteouts) => Some(whiteouts),
            Presence::MeansNothing { .. } => None,
        }
    }

    /// Whether the folder `name` in `parent` hides all that is below it.
    fn is_opaque(
        &self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        folder: BorrowedFd<'_>,
    ) -> Result<bool, StorageError> {
        let opaque = self
            .whiteouts()
            .map(|form| form.is_opaque(parent, name, folder));
        let opaque = opaque.transpose().map_err(|errno| self.failed(errno))?;
        Ok(opaque.unwrap_or(false))
    }

    fn change(&self, kind: ChangeKind) -> Change {
        Change {
            path: self.path.clone(),
            kind,
        }
    }

    fn failed(&self, errno: Errno) -> StorageError {
        StorageError::io("compare", &self.path)(errno)
    }
}

fn same_contents(mut a: File, mut b: File) -> io::Result<bool> {
    let (mut left, mut right) = (vec![0; 65536], vec![0; 65536]);
    loop {
        let length = a.read(&mut left)?;
        if length == 0 {
            return Ok(b.read(&mut right)? == 0);
        }
        let (Some(left), Some(right)) = (left.get(..length), right.get_mut(..length)) else {
            return Ok(false);
        };
        match b.read_exact(right) {
            Ok(()) if left == right => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Files below a new folder; a path that ends in `/` is a folder.
    fn folder(paths: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for path in paths {
            let full = folder.path().join(path);
            let parent = if path.ends_with('/') {
                &full
            } else {
                full.parent().unwrap()
            };
            fs::create_dir_all(parent).unwrap();
            if !path.ends_with('/') {
                fs::write(full, path).unwrap();
            }
        }
        folder
    }

    #[test]
    fn whiteouts_of_aufs_are_removals_and_its_own_files_nothing() {
        let lowest = folder(&[
            "etc/passwd",
            "etc/old",
            "gone",
            "hidden/a",
            "hidden/b",
            "twice",
        ]);
        let middle = folder(&["etc/.wh.old", ".wh.twice", "etc/new"]);
        let upper = folder(&[
            ".wh..wh.aufs",
            ".wh..wh.plnk/",
            ".wh..wh.orph/",
            ".wh.gone",
            ".wh.twice",
            "etc/.wh.passwd",
            "etc/old",
            "hidden/.wh..wh.opq",
            "hidden/b",
        ]);
        let below = [middle.path().to_owned(), lowest.path().to_owned()];

        let presence = Presence::MeansChanged(Whiteouts::Files);
        let changes = changes(upper.path(), &below, presence).unwrap();

        let shown: Vec<String> = changes
            .iter()
            .map(|change| format!("{} {}", change.kind.letter(), change.path.display()))
            .collect();
        assert_eq!(
            shown,
            [
                "C /etc",
                "A /etc/old",
                "D /etc/passwd",
                "D /gone",
                "C /hidden",
                "D /hidden/a",
                "C /hidden/b",
            ]
        );
    }
}
