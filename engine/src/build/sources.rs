//! Which files an instruction means: patterns become a list, less what is to be ignored.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::libc::{S_IFDIR, S_IFMT};
use nix::sys::stat::{Mode, fstatat};

use super::place::{There, follow};
use super::transfer::TransferError;
use crate::dockerfile::{Ignore, name_matches};
use crate::image::limits::MAX_DEPTH;
use crate::storage::entries;
use crate::sys::in_root;

/// One thing to be brought in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A file, and what it is called where it was looked for.
    File { path: PathBuf, name: OsString },
    /// What is in a folder: paths from there, folders before what is in them.
    Folder {
        path: PathBuf,
        entries: Vec<PathBuf>,
    },
}

const FOLDER: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// A tree to look in. Links in it are followed inside of it only, whoever made them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tree<'a> {
    pub(super) root: BorrowedFd<'a>,
    pub(super) ignore: &'a Ignore,
}

impl Tree<'_> {
    /// What the patterns mean, in their order, and sorted where one means several.
    pub(super) fn find(&self, patterns: &[String]) -> Result<Vec<Source>, TransferError> {
        let mut found = Vec::new();
        for pattern in patterns {
            let before = found.len();
            for path in self.matching(pattern)? {
                found.extend(self.source(&path)?);
            }
            if found.len() == before {
                return Err(TransferError::NotFound(pattern.clone()));
            }
        }
        Ok(found)
    }

    /// Paths that fit a pattern. Those without signs need not be there.
    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, TransferError> {
        let mut paths = vec![PathBuf::new()];
        for part in Path::new(pattern).components() {
            let name = match part {
                Component::Normal(name) => name,
                Component::ParentDir => return Err(TransferError::Outside(pattern.to_owned())),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
            };
            let name = name.to_string_lossy();
            if !name.contains(['*', '?', '[', '\\']) {
                for path in &mut paths {
                    path.push(&*name);
                }
                continue;
            }
            let mut next = Vec::new();
            for path in paths {
                let here = if path.as_os_str().is_empty() {
                    Path::new(".")
                } else {
                    &path
                };
                let folder = match in_root::open(self.root, here, FOLDER, Mode::empty()) {
                    Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
                    folder => folder.map_err(failed("open", &path))?,
                };
                let names = sorted(folder.as_fd()).map_err(failed("list", &path))?;
                let fitting = names
                    .iter()
                    .filter(|found| name_matches(&name, &found.to_string_lossy()));
                next.extend(fitting.map(|name| path.join(name)));
            }
            paths = next;
        }
        Ok(paths)
    }

    /// What is at a path; nothing if it is not there, or ignored.
    fn source(&self, path: &Path) -> Result<Option<Source>, TransferError> {
        let place = match follow(self.root, path) {
            Err(Errno::ENOTDIR) => return Ok(None),
            place => place.map_err(failed("follow", path))?,
        };
        let hidden = self.hides(path) || self.hides(&place.path);
        match place.there {
            There::Nothing => Ok(None),
            There::Other if hidden => Ok(None),
            There::Other => Ok(Some(Source::File {
                path: place.path,
                name: path.file_name().unwrap_or_default().to_owned(),
            })),
            There::Folder => {
                let folder = self.open(&place.path).map_err(failed("open", path))?;
                let mut entries = Vec::new();
                self.list(folder.as_fd(), &place.path, Path::new(""), &mut entries)?;
                let nothing = hidden && entries.is_empty();
                Ok((!nothing).then_some(Source::Folder {
                    path: place.path,
                    entries,
                }))
            }
        }
    }

    /// Lists what is in `folder`, which is `tail` below the folder `top` that is brought in.
    fn list(
        &self,
        folder: BorrowedFd<'_>,
        top: &Path,
        tail: &Path,
        all: &mut Vec<PathBuf>,
    ) -> Result<(), TransferError> {
        if tail.components().count() > MAX_DEPTH {
            return Err(TransferError::TooDeep(tail.to_owned()));
        }
        for name in sorted(folder).map_err(failed("list", &top.join(tail)))? {
            let inner = tail.join(&name);
            let path = top.join(&inner);
            let stat = match fstatat(folder, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Err(Errno::ENOENT) => continue,
                stat => stat.map_err(failed("examine", &path))?,
            };
            let hidden = self.hides(&path);
            let is_folder = stat.st_mode & S_IFMT == S_IFDIR;
            if !hidden {
                all.push(inner.clone());
            }
            if !is_folder || (hidden && !self.ignore.takes_back()) {
                continue;
            }
            let flags = FOLDER | OFlag::O_NOFOLLOW;
            let open = match openat(folder, name.as_os_str(), flags, Mode::empty()) {
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => continue, // Swapped just now.
                open => open.map_err(failed("open", &path))?,
            };
            let before = all.len();
            if hidden {
                all.push(inner.clone());
            }
            self.list(open.as_fd(), top, &inner, all)?;
            if hidden && all.len() == before + 1 {
                all.pop(); // Nothing in it is taken after all.
            }
        }
        Ok(())
    }

    /// Opens a folder of the tree.
    pub(super) fn open(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        in_root::open(self.root, path, FOLDER, Mode::empty())
    }

    fn hides(&self, path: &Path) -> bool {
        !path.as_os_str().is_empty() && self.ignore.leaves_out(&path.to_string_lossy())
    }
}

fn sorted(folder: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    let names = entries(folder)?.into_iter();
    let mut names: Vec<OsString> = names
        .map(|(name, _)| OsStr::from_bytes(name.to_bytes()).to_owned())
        .collect();
    names.sort();
    Ok(names)
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(Errno) -> TransferError {
    let path = path.to_owned();
    move |source| TransferError::Io {
        action,
        path,
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use super::*;

    /// `a`, `b/c`, `b/d/e`, and links in and out.
    fn scene() -> (tempfile::TempDir, File) {
        let scene = tempfile::tempdir().unwrap();
        let root = scene.path().join("root");
        fs::create_dir_all(root.join("b/d")).unwrap();
        for path in ["root/a", "root/b/c", "root/b/d/e", "secret"] {
            fs::write(scene.path().join(path), path).unwrap();
        }
        symlink("b", root.join("in")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink(scene.path().join("secret"), root.join("away")).unwrap();
        let open = File::open(&root).unwrap();
        (scene, open)
    }

    fn found(root: &File, ignore: &str, patterns: &[&str]) -> Result<Vec<String>, TransferError> {
        let patterns: Vec<String> = patterns.iter().map(|&text| text.to_owned()).collect();
        let ignore = Ignore::parse(ignore);
        let tree = Tree {
            root: root.as_fd(),
            ignore: &ignore,
        };
        let shown = |source: Source| match source {
            Source::File { path, .. } => path.display().to_string(),
            Source::Folder { path, entries } => format!("{}: {entries:?}", path.display()),
        };
        Ok(tree.find(&patterns)?.into_iter().map(shown).collect())
    }

    #[test]
    fn patterns_mean_files_and_folders() {
        let (_scene, root) = scene();
        let found = |patterns| found(&root, "", patterns).unwrap();
        assert_eq!(found(&["a", "/b/c"]), ["a", "b/c"]);
        assert_eq!(found(&["b"]), [r#"b: ["c", "d", "d/e"]"#]);
        assert_eq!(found(&["in/[cx]"]), ["b/c"]);
        assert_eq!(
            found(&["?", "b/*/e"]),
            ["a", r#"b: ["c", "d", "d/e"]"#, "b/d/e"]
        );
    }

    #[test]
    fn nothing_leads_out_of_the_tree() {
        let (_scene, root) = scene();
        for pattern in ["out", "away", "out/x", "a/x", "none*"] {
            let error = found(&root, "", &[pattern]).unwrap_err();
            assert!(
                matches!(error, TransferError::NotFound(_)),
                "{pattern}: {error}"
            );
        }
        for pattern in ["../secret", "b/../../secret", ".."] {
            let error = found(&root, "", &[pattern]).unwrap_err();
            assert!(
                matches!(error, TransferError::Outside(_)),
                "{pattern}: {error}"
            );
        }
    }

    #[test]
    fn what_is_ignored_is_not_there() {
        let (_scene, root) = scene();
        assert_eq!(found(&root, "b/d", &["b"]).unwrap(), [r#"b: ["c"]"#]);
        assert_eq!(
            found(&root, "b\n!b/d/e", &["b"]).unwrap(),
            [r#"b: ["d", "d/e"]"#]
        );
        for pattern in ["b", "b/c", "in", "in/c"] {
            let error = found(&root, "b", &[pattern]).unwrap_err();
            assert!(
                matches!(error, TransferError::NotFound(_)),
                "{pattern}: {error}"
            );
        }
    }
}
