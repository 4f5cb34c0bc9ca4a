//! Files from the host into a container and back, by the rules of `docker cp`.
//!
//! Both ends are an open root folder, the container's or the host's, and a path in it. What is
//! found there is packed on one thread and unpacked on another; neither follows a link that it does
//! not mean to, so it does not matter what a running container swaps meanwhile (CVE-2018-15664,
//! CVE-2021-41089).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::libc::{S_IFDIR, S_IFLNK, S_IFMT};
use nix::sys::stat::{FileStat, Mode, fstatat};
use nix::unistd::{Gid, Uid, pipe2};

use super::view::Sight;
use super::{Container, Error};
use crate::files::{Devices, Owner, PackError, Packed, Packer, Unpacked, unpack};
use crate::image::decompress::decompress;
use crate::sys::in_root;

/// Why a copy was refused.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is nothing to copy.
    #[error("there is no `{}`", .0.display())]
    NoSource(PathBuf),
    /// There is no folder to copy into.
    #[error("the folder of `{}` does not exist: make it first", .0.display())]
    NoFolder(PathBuf),
    /// `file/` or `file/.`.
    #[error("`{}` is no folder", .0.display())]
    NotAFolder(PathBuf),
    /// A folder onto a file.
    #[error("cannot copy a folder onto the file `{}`", .0.display())]
    FolderOntoFile(PathBuf),
    /// A system call failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// What of a link is copied that is named as the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// The link.
    Keep,
    /// What it leads to.
    Follow,
}

/// Whose the copies are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Root's in a container, the caller's on the host.
    OfTarget,
    /// Users and groups as at the source, by number.
    Keep,
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Bytes of the files.
    pub bytes: u64,
    /// Device nodes, which are never copied.
    pub devices: u64,
}

const PLACE: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY);
const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY);
/// Links that may be followed on one way, as the kernel has it (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

impl Container {
    /// Copies `path` of the container to `to` on the host.
    ///
    /// # Errors
    /// [`Error::Copy`], [`Error::Pack`], [`Error::Unpack`].
    pub fn copy_out(
        &mut self,
        path: &Path,
        to: &Path,
        links: Links,
        ownership: Ownership,
    ) -> Result<Copied, Error> {
        let view = self.view(Sight::Mounted)?;
        let host = host_root()?;
        let source = Source::find(view.root(), path, links)?;
        let target = Target::find(host.as_fd(), &absolute(to)?, &source)?;
        let owner = match ownership {
            Ownership::OfTarget => Owner::Always(Uid::effective(), Gid::effective()),
            Ownership::Keep => Owner::AsRecorded,
        };
        transfer(&source, &target, owner)
    }

    /// Copies `from` on the host to `path` in the container.
    ///
    /// # Errors
    /// As [`copy_out`](Self::copy_out).
    pub fn copy_in(
        &mut self,
        from: &Path,
        path: &Path,
        links: Links,
        ownership: Ownership,
    ) -> Result<Copied, Error> {
        let view = self.view(Sight::Mounted)?;
        let host = host_root()?;
        let source = Source::find(host.as_fd(), &absolute(from)?, links)?;
        let target = Target::find(view.root(), path, &source)?;
        transfer(&source, &target, in_container(ownership))
    }

    /// Writes `path` of the container to a tar.
    ///
    /// # Errors
    /// [`Error::Copy`], [`Error::Pack`].
    pub fn copy_out_tar(
        &mut self,
        path: &Path,
        to: impl Write,
        links: Links,
    ) -> Result<Packed, Error> {
        let view = self.view(Sight::Mounted)?;
        let source = Source::find(view.root(), path, links)?;
        let prefix = match source.extent {
            Extent::Contents => OsStr::new(""),
            Extent::Whole => &source.base,
        };
        Ok(source.pack(to, prefix)?)
    }

    /// Unpacks a tar, plain or compressed by gzip or zstd, into the folder `path` of the container.
    ///
    /// # Errors
    /// [`Error::Copy`], [`Error::Unpack`].
    pub fn copy_in_tar(
        &mut self,
        tar: impl Read + Send,
        path: &Path,
        ownership: Ownership,
    ) -> Result<Unpacked, Error> {
        let view = self.view(Sight::Mounted)?;
        let folder = match in_root::open(view.root(), path, FOLDER, Mode::empty()) {
            Err(Errno::ENOENT) => return Err(CopyError::NoFolder(path.join(".")).into()),
            Err(Errno::ENOTDIR) => return Err(CopyError::NotAFolder(path.to_owned()).into()),
            folder => folder.map_err(failed("open", path))?,
        };
        let tar = decompress(tar).map_err(failed("read", Path::new("-")))?;
        Ok(unpack(tar, folder.as_fd(), in_container(ownership))?)
    }
}

const fn in_container(ownership: Ownership) -> Owner {
    match ownership {
        Ownership::OfTarget => Owner::Always(Uid::from_raw(0), Gid::from_raw(0)),
        Ownership::Keep => Owner::AsRecorded,
    }
}

fn host_root() -> Result<OwnedFd, CopyError> {
    let root = Path::new("/");
    open(root, PLACE | OFlag::O_CLOEXEC, Mode::empty()).map_err(failed("open", root))
}

/// The path from the root, with what it ends in (`/` or `/.`), which has a meaning here.
fn absolute(path: &Path) -> Result<PathBuf, CopyError> {
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    let here = std::env::current_dir().map_err(failed::<io::Error>("find", Path::new(".")))?;
    Ok(here.join(path))
}

/// What a path ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Name,
    /// `/`: it is a folder.
    Slash,
    /// `/.`: it is a folder, and means what is in it.
    Dot,
}

impl Ending {
    fn of(path: &Path) -> Self {
        match path.as_os_str().as_bytes() {
            b"." => Self::Dot,
            path if path.ends_with(b"/.") => Self::Dot,
            path if path.ends_with(b"/") => Self::Slash,
            _ => Self::Name,
        }
    }
}

/// How much of a folder is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// It and all that is in it.
    Whole,
    /// What is in it.
    Contents,
}

/// Where a path leads: a name in an open folder.
#[derive(Debug)]
struct Spot {
    folder: OwnedFd,
    name: OsString,
    /// What is there.
    stat: Option<FileStat>,
}

impl Spot {
    fn kind(&self) -> Option<u32> {
        self.stat.as_ref().map(|stat| stat.st_mode & S_IFMT)
    }

    /// Finds the place of `path`, whose last name may be of nothing yet; a link there is followed
    /// or not. `None`: it is the root itself.
    fn find(root: BorrowedFd<'_>, path: &Path, links: Links) -> Result<Option<Self>, CopyError> {
        let mut path = clean(path);
        for _ in 0..MAX_LINKS {
            let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
                return Ok(None);
            };
            let folder = match in_root::open(root, above, PLACE, Mode::empty()) {
                Err(Errno::ENOENT | Errno::ENOTDIR) => return Err(CopyError::NoFolder(path)),
                folder => folder.map_err(failed("open", above))?,
            };
            let stat = match fstatat(&folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Err(Errno::ENOENT) => None,
                stat => Some(stat.map_err(failed("examine", &path))?),
            };
            let spot = Self {
                name: name.to_owned(),
                folder,
                stat,
            };
            if links == Links::Keep || spot.kind() != Some(S_IFLNK) {
                return Ok(Some(spot));
            }
            path = match readlinkat(&spot.folder, spot.name.as_os_str()) {
                Ok(target) => clean(&above.join(target)),
                Err(Errno::EINVAL | Errno::ENOENT) => path, // Swapped just now: look again.
                Err(errno) => return Err(failed("read the link", &path)(errno)),
            };
        }
        Err(failed("follow the links of", &path)(Errno::ELOOP))
    }
}

/// The path from the root without `.` and `..`, by its text alone, as Docker reads it.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

/// What is copied.
#[derive(Debug)]
struct Source {
    /// A folder to be copied, or the folder in which `name` is.
    folder: OwnedFd,
    /// `None`: the folder.
    name: Option<OsString>,
    extent: Extent,
    /// What it is called at the target, if that is a folder.
    base: OsString,
}

impl Source {
    fn find(root: BorrowedFd<'_>, path: &Path, links: Links) -> Result<Self, CopyError> {
        let ending = Ending::of(path);
        let links = match ending {
            Ending::Name => links,
            Ending::Slash | Ending::Dot => Links::Follow,
        };
        let spot = match Spot::find(root, path, links) {
            Err(CopyError::NoFolder(_)) => return Err(CopyError::NoSource(path.to_owned())),
            spot => spot?,
        };
        let Some(spot) = spot else {
            let folder = openat(root, ".", FOLDER | OFlag::O_CLOEXEC, Mode::empty())
                .map_err(failed("open", path))?;
            return Ok(Self {
                folder,
                name: None,
                extent: Extent::Contents,
                base: OsString::new(),
            });
        };
        // A link that is followed gives its own name to what it leads to.
        let base = clean(path).file_name().unwrap_or_default().to_owned();
        match spot.kind() {
            None => Err(CopyError::NoSource(path.to_owned())),
            Some(S_IFDIR) => {
                let flags = FOLDER | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let folder = openat(&spot.folder, spot.name.as_os_str(), flags, Mode::empty())
                    .map_err(failed("open", path))?;
                Ok(Self {
                    folder,
                    name: None,
                    extent: match ending {
                        Ending::Dot => Extent::Contents,
                        Ending::Name | Ending::Slash => Extent::Whole,
                    },
                    base,
                })
            }
            Some(_) if ending != Ending::Name => Err(CopyError::NotAFolder(path.to_owned())),
            Some(_) => Ok(Self {
                folder: spot.folder,
                name: Some(spot.name),
                extent: Extent::Whole,
                base,
            }),
        }
    }

    fn pack(&self, to: impl Write, prefix: &OsStr) -> Result<Packed, PackError> {
        let to = BufWriter::with_capacity(64 << 10, to);
        let mut packer = Packer::new(to, Devices::Keep);
        match &self.name {
            None => packer.folder(self.folder.as_fd(), prefix.as_bytes())?,
            Some(name) => packer.entry(self.folder.as_fd(), name, prefix.as_bytes())?,
        }
        packer.finish().map(|(_, packed)| packed)
    }
}

/// Where it is copied to.
#[derive(Debug)]
struct Target {
    folder: OwnedFd,
    /// What it is called there; empty: it is the contents of a folder.
    prefix: OsString,
}

impl Target {
    /// By Docker's rules: into a folder that is there, under the source's name; or else under the
    /// path's own last name.
    fn find(root: BorrowedFd<'_>, path: &Path, source: &Source) -> Result<Self, CopyError> {
        let into = |folder: OwnedFd| Self {
            folder,
            prefix: match source.extent {
                Extent::Whole => source.base.clone(),
                Extent::Contents => OsString::new(),
            },
        };
        let spot = Spot::find(root, path, Links::Follow)?;
        let Some(spot) = spot else {
            let root = openat(root, ".", FOLDER | OFlag::O_CLOEXEC, Mode::empty());
            return Ok(into(root.map_err(failed("open", path))?));
        };
        let is_folder = source.name.is_none();
        match spot.kind() {
            Some(S_IFDIR) => {
                let flags = FOLDER | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let folder = openat(&spot.folder, spot.name.as_os_str(), flags, Mode::empty());
                Ok(into(folder.map_err(failed("open", path))?))
            }
            Some(_) if is_folder => Err(CopyError::FolderOntoFile(path.to_owned())),
            Some(_) if Ending::of(path) != Ending::Name => {
                Err(CopyError::NotAFolder(path.to_owned()))
            }
            None if !is_folder && Ending::of(path) != Ending::Name => {
                Err(CopyError::NoFolder(path.to_owned()))
            }
            Some(_) | None => Ok(Self {
                folder: spot.folder,
                prefix: spot.name,
            }),
        }
    }
}

/// Packs on one thread what is unpacked on another.
fn transfer(source: &Source, target: &Target, owner: Owner) -> Result<Copied, Error> {
    let (reader, writer) =
        pipe2(OFlag::O_CLOEXEC).map_err(failed("make a pipe for", Path::new("/")))?;
    let (packed, unpacked) = thread::scope(|scope| {
        let packing = scope.spawn(|| source.pack(File::from(writer), &target.prefix));
        let into = target.folder.as_fd();
        let unpacked = unpack(File::from(reader), into, owner);
        let packed = packing
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (packed, unpacked)
    });
    match (packed, unpacked) {
        // The other end has gone away, and says why.
        (Err(PackError::Write(_)) | Ok(_), Err(error)) => Err(error.into()),
        (Err(error), _) => Err(error.into()),
        (Ok(_), Ok(Unpacked { bytes, devices })) => Ok(Copied { bytes, devices }),
    }
}

fn failed<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> CopyError {
    let path = path.to_owned();
    move |source| CopyError::Io {
        action,
        path,
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::fcntl::AT_FDCWD;

    use super::*;
    use crate::files::UnpackError;

    /// A root folder on its own, and its descriptor.
    fn root() -> (tempfile::TempDir, OwnedFd) {
        let folder = tempfile::tempdir().unwrap();
        let open = openat(AT_FDCWD, folder.path(), PLACE, Mode::empty()).unwrap();
        (folder, open)
    }

    fn copy(from: (&OwnedFd, &str), to: (&OwnedFd, &str), links: Links) -> Result<(), Error> {
        let source = Source::find(from.0.as_fd(), Path::new(from.1), links)?;
        let target = Target::find(to.0.as_fd(), Path::new(to.1), &source)?;
        transfer(&source, &target, Owner::AsRecorded).map(drop)
    }

    fn scene() -> (tempfile::TempDir, OwnedFd, tempfile::TempDir, OwnedFd) {
        let (a, from) = root();
        let (b, to) = root();
        fs::create_dir_all(a.path().join("folder/sub")).unwrap();
        fs::write(a.path().join("folder/sub/file"), "deep").unwrap();
        fs::write(a.path().join("file"), "text").unwrap();
        fs::create_dir(b.path().join("there")).unwrap();
        fs::write(b.path().join("old"), "old text").unwrap();
        (a, from, b, to)
    }

    /// Where in the target what was copied is found; or the kind of refusal.
    fn outcome(source: &str, target: &str) -> String {
        let (_a, from, b, to) = scene();
        match copy((&from, source), (&to, target), Links::Keep) {
            Err(Error::Copy(error)) => {
                let text = format!("{error:?}");
                text.split(['(', ' ']).next().unwrap().to_owned()
            }
            Err(error) => panic!("{error:?}"),
            Ok(()) => {
                let mut found = Vec::new();
                let mut folders = vec![b.path().to_owned()];
                while let Some(folder) = folders.pop() {
                    for entry in fs::read_dir(folder).unwrap() {
                        let path = entry.unwrap().path();
                        if path.is_dir() {
                            folders.push(path);
                        } else if fs::read(&path).unwrap() != b"old text" {
                            let path = path.strip_prefix(b.path()).unwrap();
                            found.push(path.display().to_string());
                        }
                    }
                }
                found.join(" ")
            }
        }
    }

    #[test]
    fn files_and_folders_go_where_docker_puts_them() {
        let table = [
            // The rules of `docker cp`, in the order of its documentation.
            ("/file", "/new", "new"),
            ("/file", "/new/", "NoFolder"),
            ("/file", "/old", "old"),
            ("/file", "/there", "there/file"),
            ("/file", "/there/", "there/file"),
            ("/folder", "/new", "new/sub/file"),
            ("/folder", "/new/", "new/sub/file"),
            ("/folder", "/old", "FolderOntoFile"),
            ("/folder", "/there", "there/folder/sub/file"),
            ("/folder/", "/there", "there/folder/sub/file"),
            ("/folder/.", "/there", "there/sub/file"),
            ("/folder/.", "/new", "new/sub/file"),
            // Around them.
            ("/file", "/", "file"),
            ("/folder/sub/..", "/there", "there/folder/sub/file"),
            ("/file/", "/there", "NotAFolder"),
            ("/file", "/old/", "NotAFolder"),
            ("/file", "/nowhere/new", "NoFolder"),
            ("/nothing", "/there", "NoSource"),
            ("/nothing/at/all", "/there", "NoSource"),
        ];
        for (source, target, expected) in table {
            assert_eq!(outcome(source, target), expected, "{source} {target}");
        }
    }

    #[test]
    fn a_link_is_copied_itself_unless_it_is_to_be_followed() {
        let (a, from, b, to) = scene();
        std::os::unix::fs::symlink("file", a.path().join("link")).unwrap();
        copy((&from, "/link"), (&to, "/there"), Links::Keep).unwrap();
        let copied = b.path().join("there/link");
        assert_eq!(fs::read_link(&copied).unwrap(), Path::new("file"));
        copy((&from, "/link"), (&to, "/there"), Links::Follow).unwrap();
        assert_eq!(fs::read_to_string(&copied).unwrap(), "text");
        assert!(!copied.is_symlink());
    }

    #[test]
    fn links_at_the_target_are_followed_inside() {
        let (_a, from, b, to) = scene();
        std::os::unix::fs::symlink("/there", b.path().join("absolute")).unwrap();
        std::os::unix::fs::symlink("../../../../made", b.path().join("up")).unwrap();
        copy((&from, "/file"), (&to, "/absolute/x"), Links::Keep).unwrap();
        assert!(b.path().join("there/x").exists());
        copy((&from, "/file"), (&to, "/up"), Links::Keep).unwrap();
        assert!(b.path().join("made").exists());
        assert!(b.path().join("up").is_symlink());
    }

    #[test]
    fn a_folder_never_gives_way_to_a_file_nor_a_file_to_a_folder() {
        let (a, from, b, to) = scene();
        fs::create_dir_all(b.path().join("there/file")).unwrap();
        let error = copy((&from, "/file"), (&to, "/there"), Links::Keep).unwrap_err();
        assert!(matches!(error, Error::Unpack(UnpackError::OverFolder(_))));
        fs::write(b.path().join("there/folder"), "x").unwrap();
        let error = copy((&from, "/folder"), (&to, "/there"), Links::Keep).unwrap_err();
        assert!(matches!(error, Error::Unpack(UnpackError::FolderOver(_))));
        drop(a);
    }
}
