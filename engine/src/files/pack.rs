//! Packs trees of files into a tar, while somebody else may be changing them.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::libc::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat, major, minor};

use super::tar_writer::{Head, Member, TarWriter};
use crate::image::layer::is_carried;
use crate::image::limits::MAX_DEPTH;
use crate::storage::entries;
use crate::sys::xattr;

/// Why a tree could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A file could not be read.
    #[error("cannot {action} `{path}`")]
    Read {
        /// What was tried, as a verb.
        action: &'static str,
        /// The path in the tar.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Folders that are nested deeper than is walked.
    #[error("folders are nested deeper than {MAX_DEPTH} levels at `{0}`")]
    TooDeep(String),
    /// The tar could not be written.
    #[error("cannot write the tar")]
    Write(#[source] io::Error),
}

/// What becomes of device nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// They are packed.
    Keep,
    /// They are left out and counted.
    LeaveOut,
}

/// What was packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Packed {
    /// Bytes of the files.
    pub bytes: u64,
    /// Device nodes that were left out.
    pub devices: u64,
}

/// What entries say of themselves instead of what the file system does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// User and group.
    pub owner: Option<(u32, u32)>,
    /// The mode of all but symbolic links.
    pub mode: Option<u32>,
    /// When they were changed.
    pub times: Times,
}

/// When entries were changed, in seconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Times {
    /// As the file system says.
    #[default]
    Own,
    /// The same, but no later than this.
    NotAfter(i64),
    /// All at this time.
    Always(i64),
}

impl Times {
    /// What becomes of a time.
    pub fn of(self, time: i64) -> i64 {
        match self {
            Self::Own => time,
            Self::NotAfter(last) => time.min(last),
            Self::Always(time) => time,
        }
    }
}

const FOLDER: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);
/// A pipe in the place of a file must not keep us, nor a terminal become ours.
const FILE: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY)
    .union(OFlag::O_CLOEXEC);

/// Packs entries one after the other. Names of a folder come in the order of their bytes; the first
/// name of a file is the file, the others are hard links to it; sockets are left out, as tar knows
/// none. What vanishes while it is looked at is left out too.
#[derive(Debug)]
pub struct Packer<W> {
    tar: TarWriter<W>,
    devices: Devices,
    look: Look,
    /// The first path of each file that has several names.
    links: HashMap<(u64, u64), Vec<u8>>,
    packed: Packed,
}

impl<W: Write> Packer<W> {
    /// A tar that begins here.
    pub fn new(to: W, devices: Devices) -> Self {
        Self {
            tar: TarWriter::new(to),
            devices,
            look: Look::default(),
            links: HashMap::new(),
            packed: Packed::default(),
        }
    }

    /// Changes what entries from here on say of themselves.
    #[must_use]
    pub fn with_look(mut self, look: Look) -> Self {
        self.look = look;
        self
    }

    /// For entries that no file system has.
    pub fn tar(&mut self) -> &mut TarWriter<W> {
        &mut self.tar
    }

    /// Packs the folder itself as `path` (empty: it has no entry of its own) and all that is in it.
    ///
    /// # Errors
    /// [`PackError`].
    pub fn folder(&mut self, folder: BorrowedFd<'_>, path: &[u8]) -> Result<(), PackError> {
        if !path.is_empty() {
            self.folder_itself(folder, path)?;
        }
        self.inside(folder, path, 0)
    }

    /// Packs the entry `name` of `folder` as `path`, with all that is in it.
    ///
    /// # Errors
    /// [`PackError`].
    pub fn entry(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &OsStr,
        path: &[u8],
    ) -> Result<(), PackError> {
        self.any(folder, name, path, Some(0))
    }

    /// Packs the entry `name` of `folder` as `path`, without what is in it.
    ///
    /// # Errors
    /// [`PackError`].
    pub fn alone(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &OsStr,
        path: &[u8],
    ) -> Result<(), PackError> {
        self.any(folder, name, path, None)
    }

    /// Packs an empty file of root's that says that the layers below have something under `path`
    /// which is no more (image-spec, "Whiteouts").
    ///
    /// # Errors
    /// [`PackError::Write`].
    pub fn whiteout(&mut self, path: &[u8]) -> Result<(), PackError> {
        let split = path.iter().rposition(|byte| *byte == b'/');
        let (folder, name) = path.split_at(split.map_or(0, |slash| slash + 1));
        let path = [folder, b".wh.", name].concat();
        let head = Head {
            path: &path,
            member: Member::File(0),
            mode: 0o600,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: &[],
        };
        self.tar.head(&head).map_err(PackError::Write)
    }

    /// Ends the tar.
    ///
    /// # Errors
    /// [`PackError::Write`].
    pub fn finish(self) -> Result<(W, Packed), PackError> {
        let to = self.tar.finish().map_err(PackError::Write)?;
        Ok((to, self.packed))
    }

    fn inside(
        &mut self,
        folder: BorrowedFd<'_>,
        path: &[u8],
        depth: usize,
    ) -> Result<(), PackError> {
        if depth > MAX_DEPTH {
            return Err(PackError::TooDeep(shown(path)));
        }
        let mut names: Vec<CString> = entries(folder)
            .map_err(failed("list", path))?
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        names.sort();
        for name in names {
            let name = OsStr::from_bytes(name.to_bytes());
            let mut inner = path.to_vec();
            if !inner.is_empty() {
                inner.push(b'/');
            }
            inner.extend_from_slice(name.as_bytes());
            self.any(folder, name, &inner, Some(depth + 1))?;
        }
        Ok(())
    }

    /// `depth`: how deep to go on from; `None`: not into folders.
    fn any(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &OsStr,
        path: &[u8],
        depth: Option<usize>,
    ) -> Result<(), PackError> {
        let Some(stat) = present(fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW))
            .map_err(failed("examine", path))?
        else {
            return Ok(());
        };
        let kind = stat.st_mode & S_IFMT;
        if kind == S_IFDIR {
            let inner = present(openat(folder, name, FOLDER, Mode::empty()));
            let Some(inner) = inner.map_err(failed("open", path))? else {
                return Ok(());
            };
            self.folder_itself(inner.as_fd(), path)?;
            return match depth {
                Some(depth) => self.inside(inner.as_fd(), path, depth),
                None => Ok(()),
            };
        }
        if stat.st_nlink > 1 {
            let key = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&key) {
                let head = head(path, Member::Hard(first), &stat, &[], self.look);
                return self.tar.head(&head).map_err(PackError::Write);
            }
        }
        let written = match kind {
            S_IFREG => self.file(folder, name, path)?,
            S_IFLNK => match present(readlinkat(folder, name)).map_err(failed("read", path))? {
                Some(target) => self.plain(
                    folder,
                    name,
                    path,
                    Member::Symbolic(target.as_bytes()),
                    &stat,
                )?,
                None => false,
            },
            S_IFIFO => self.plain(folder, name, path, Member::Fifo, &stat)?,
            S_IFCHR | S_IFBLK if self.devices == Devices::LeaveOut => {
                self.packed.devices += 1;
                false
            }
            S_IFCHR | S_IFBLK => {
                // No kernel has numbers that large.
                let number = |part: u64| u32::try_from(part).unwrap_or_default();
                let (major, minor) = (number(major(stat.st_rdev)), number(minor(stat.st_rdev)));
                let member = if kind == S_IFCHR {
                    Member::Character(major, minor)
                } else {
                    Member::Block(major, minor)
                };
                self.plain(folder, name, path, member, &stat)?
            }
            _ => false, // A socket.
        };
        if written && stat.st_nlink > 1 {
            let key = (stat.st_dev, stat.st_ino);
            self.links.insert(key, path.to_vec());
        }
        Ok(())
    }

    fn folder_itself(&mut self, folder: BorrowedFd<'_>, path: &[u8]) -> Result<(), PackError> {
        let stat = fstat(folder).map_err(failed("examine", path))?;
        self.plain(folder, OsStr::new("."), path, Member::Folder, &stat)
            .map(drop)
    }

    /// Writes an entry that has no contents.
    fn plain(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &OsStr,
        path: &[u8],
        member: Member<'_>,
        stat: &FileStat,
    ) -> Result<bool, PackError> {
        let Some(xattrs) = xattrs(folder, name, path)? else {
            return Ok(false);
        };
        let head = head(path, member, stat, &xattrs, self.look);
        self.tar.head(&head).map_err(PackError::Write)?;
        Ok(true)
    }

    fn file(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &OsStr,
        path: &[u8],
    ) -> Result<bool, PackError> {
        let open = present(openat(folder, name, FILE, Mode::empty()));
        let Some(open): Option<OwnedFd> = open.map_err(failed("open", path))? else {
            return Ok(false);
        };
        let stat = fstat(&open).map_err(failed("examine", path))?;
        if stat.st_mode & S_IFMT != S_IFREG {
            return Ok(false); // Swapped just now.
        }
        let Some(xattrs) = xattrs(folder, name, path)? else {
            return Ok(false);
        };
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let head = head(path, Member::File(size), &stat, &xattrs, self.look);
        self.tar.head(&head).map_err(PackError::Write)?;
        self.tar
            .contents(&mut File::from(open), size)
            .map_err(failed("copy", path))?;
        self.packed.bytes += size;
        Ok(true)
    }
}

fn head<'a>(
    path: &'a [u8],
    member: Member<'a>,
    stat: &FileStat,
    xattrs: &'a [(CString, Vec<u8>)],
    look: Look,
) -> Head<'a> {
    let (uid, gid) = look.owner.unwrap_or((stat.st_uid, stat.st_gid));
    let is_link = matches!(member, Member::Symbolic(_));
    let mode = look.mode.filter(|_| !is_link);
    Head {
        path,
        member,
        mode: mode.unwrap_or(stat.st_mode & 0o7777),
        uid,
        gid,
        // Whole seconds, as Docker writes them: fractions would cost a further header each.
        mtime: look.times.of(stat.st_mtime),
        xattrs,
    }
}

/// Names and values.
type Xattrs = Vec<(CString, Vec<u8>)>;

/// What of an entry's extended attributes is carried over. `None`: it has just vanished.
fn xattrs(folder: BorrowedFd<'_>, name: &OsStr, path: &[u8]) -> Result<Option<Xattrs>, PackError> {
    let read = || -> Result<Xattrs, Errno> {
        let mut found = Vec::new();
        for attribute in xattr::list_at(folder, name)? {
            if is_carried(&attribute) {
                if let Some(value) = xattr::get_at(folder, name, &attribute)? {
                    found.push((attribute, value));
                }
            }
        }
        found.sort();
        Ok(found)
    };
    present(read()).map_err(failed("read the attributes of", path))
}

/// `None` for what has vanished, or was swapped for something else, since its name was read.
fn present<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(value) => Ok(Some(value)),
        // EINVAL: no link any more. ENXIO: a socket.
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EINVAL | Errno::ENXIO) => {
            Ok(None)
        }
        Err(errno) => Err(errno),
    }
}

fn failed<E: Into<io::Error>>(action: &'static str, path: &[u8]) -> impl FnOnce(E) -> PackError {
    let path = shown(path);
    move |source| PackError::Read {
        action,
        path,
        source: source.into(),
    }
}

/// For messages: a foreign name in a form that can be printed.
fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path)
        .chars()
        .take(200)
        .flat_map(char::escape_debug)
        .collect()
}
