//! Unpacks a tar into a folder that others may be changing: a container's, or a user's.
//!
//! Unlike a layer ([`crate::image::layer`]), which is written where nobody else looks, what is made
//! here can be swapped for a link at once. So owner, mode, attributes and times are set on
//! descriptors: CVE-2021-41089 was a change of modes through names.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::libc::{S_IFDIR, S_IFIFO, S_IFMT};
use nix::sys::stat::{
    Mode, SFlag, UtimensatFlags, fchmod, fstat, fstatat, futimens, mkdirat, mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, linkat, symlinkat, unlinkat};

use crate::image::layer::{Entry, EntryPath, Kind, TarError, TarReader, is_carried};
use crate::sys::{in_root, xattr};

/// What stopped an unpacking.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The tar is at fault.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// A system call failed.
    #[error("cannot {action} `{path}`")]
    Write {
        /// What was tried, as a verb.
        action: &'static str,
        /// The path in the tar.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A folder would have to be removed.
    #[error("cannot overwrite the folder `{0}` with something that is none")]
    OverFolder(String),
    /// A file would have to be removed for a folder.
    #[error("cannot overwrite `{0}`, which is no folder, with a folder")]
    FolderOver(String),
    /// A hard link to nothing.
    #[error("`{path}` is a hard link to `{target}`, which is not there")]
    HardLink {
        /// The link.
        path: String,
        /// What it is to be another name of.
        target: String,
    },
}

/// Whose the files become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// As the tar says, by number.
    AsRecorded,
    /// All of one user and group.
    Always(Uid, Gid),
}

/// What was unpacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Bytes of the files.
    pub bytes: u64,
    /// Device nodes, which are never made.
    pub devices: u64,
}

const FOLDER: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// Unpacks all entries of the tar below `into`, and nowhere else. Folders that are there already
/// keep what is in them; other things under the names of entries are replaced.
///
/// # Errors
/// [`UnpackError`]; what was unpacked until then stays.
pub fn unpack(
    source: impl Read,
    into: BorrowedFd<'_>,
    owner: Owner,
) -> Result<Unpacked, UnpackError> {
    let mut tar = TarReader::new(source);
    let mut unpacking = Unpacking {
        root: into,
        owner,
        folders: Vec::new(),
        unpacked: Unpacked::default(),
    };
    while let Some(entry) = tar.next_entry()? {
        unpacking.entry(&entry, &mut tar)?;
    }
    // To the end, so that whoever writes it is not cut off.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(TarError::Read)?;
    unpacking.finish()
}

struct Unpacking<'a> {
    root: BorrowedFd<'a>,
    owner: Owner,
    /// Times of folders, which are set when nothing is written into them any more.
    folders: Vec<(EntryPath, (i64, i64))>,
    unpacked: Unpacked,
}

impl Unpacking<'_> {
    fn entry<R: Read>(&mut self, entry: &Entry, tar: &mut TarReader<R>) -> Result<(), UnpackError> {
        let Some((folder, name)) = entry.path.split() else {
            return Ok(()); // The folder that is unpacked into is there already, and stays as it is.
        };
        let parent = self
            .parent(&folder)
            .map_err(failed("open the folder of", entry))?;
        let parent = parent.as_fd();
        match &entry.kind {
            Kind::Folder => self.folder(entry, parent, name),
            Kind::File => self.file(entry, parent, name, tar),
            Kind::Hard(target) => self.hard_link(entry, target, parent, name),
            Kind::Symbolic(target) => {
                let target = OsStr::from_bytes(target);
                replacing(entry, parent, name, || symlinkat(target, parent, name))?;
                let (uid, gid) = self.ids(entry);
                fchownat(parent, name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)
                    .map_err(failed("set the owner of", entry))?;
                let (atime, mtime) = times(entry.mtime);
                let how = UtimensatFlags::NoFollowSymlink;
                utimensat(parent, name, &atime, &mtime, how)
                    .map_err(failed("set the times of", entry))
            }
            Kind::Fifo => self.fifo(entry, parent, name),
            Kind::Device => {
                self.unpacked.devices += 1;
                Ok(())
            }
        }
    }

    /// The folder at `path`; what is missing on the way is made.
    fn parent(&self, path: &EntryPath) -> Result<OwnedFd, Errno> {
        match in_root::open(self.root, path.as_path(), FOLDER, Mode::empty()) {
            Err(Errno::ENOENT) => make_folders(self.root, path.as_path()),
            open => open,
        }
    }

    fn folder(
        &mut self,
        entry: &Entry,
        parent: BorrowedFd<'_>,
        name: &OsStr,
    ) -> Result<(), UnpackError> {
        match mkdirat(parent, name, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(failed("create the folder", entry)(errno)),
        }
        let flags = FOLDER | OFlag::O_NOFOLLOW;
        let open = match openat(parent, name, flags, Mode::empty()) {
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                return Err(UnpackError::FolderOver(entry.shown()));
            }
            open => open.map_err(failed("open", entry))?,
        };
        self.attributes(entry, &open)?;
        for (attribute, value) in &entry.xattrs {
            if is_carried(attribute) {
                carried(xattr::set(&open, attribute, value))
                    .map_err(failed("set an attribute of", entry))?;
            }
        }
        self.folders.push((entry.path.clone(), entry.mtime));
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        entry: &Entry,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        tar: &mut TarReader<R>,
    ) -> Result<(), UnpackError> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let file = replacing(entry, parent, name, || openat(parent, name, flags, mode))?;
        let mut file = File::from(file);
        let mut buffer = vec![0; 64 << 10];
        while tar.left() > 0 {
            let length = tar.read(&mut buffer).map_err(TarError::Read)?;
            if length == 0 {
                return Err(TarError::CutOff.into());
            }
            let data = buffer.get(..length).unwrap_or_default();
            file.write_all(data).map_err(failed("write", entry))?;
            self.unpacked.bytes += length as u64;
        }
        self.attributes(entry, &file)?;
        // After the owner, whose change takes capabilities away.
        for (attribute, value) in &entry.xattrs {
            if is_carried(attribute) {
                carried(xattr::set(&file, attribute, value))
                    .map_err(failed("set an attribute of", entry))?;
            }
        }
        let (atime, mtime) = times(entry.mtime);
        futimens(&file, &atime, &mtime).map_err(failed("set the times of", entry))
    }

    fn fifo(
        &mut self,
        entry: &Entry,
        parent: BorrowedFd<'_>,
        name: &OsStr,
    ) -> Result<(), UnpackError> {
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        replacing(entry, parent, name, || {
            mknodat(parent, name, SFlag::S_IFIFO, mode, 0)
        })?;
        // Opened as a place only: a pipe that is opened waits for its other end.
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let place = openat(parent, name, flags, Mode::empty()).map_err(failed("open", entry))?;
        let stat = fstat(&place).map_err(failed("examine", entry))?;
        if stat.st_mode & S_IFMT != S_IFIFO {
            return Ok(()); // Somebody swapped it, and may have it as they like.
        }
        let (uid, gid) = self.ids(entry);
        fchownat(&place, "", uid, gid, AtFlags::AT_EMPTY_PATH)
            .map_err(failed("set the owner of", entry))?;
        // fchmod refuses such a descriptor; its link in /proc leads to the very pipe.
        let path = format!("/proc/self/fd/{}", place.as_raw_fd());
        std::fs::set_permissions(path, Permissions::from_mode(entry.mode))
            .map_err(failed("set the mode of", entry))
    }

    fn hard_link(
        &self,
        entry: &Entry,
        target: &EntryPath,
        parent: BorrowedFd<'_>,
        name: &OsStr,
    ) -> Result<(), UnpackError> {
        let missing = || UnpackError::HardLink {
            path: entry.shown(),
            target: target.to_string(),
        };
        let (folder, target_name) = target.split().ok_or_else(missing)?;
        let folder = match in_root::open(self.root, folder.as_path(), FOLDER, Mode::empty()) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Err(missing()),
            open => open.map_err(failed("open the target of", entry))?,
        };
        // Without AT_SYMLINK_FOLLOW a link itself gets the new name, wherever it leads.
        let link = || linkat(&folder, target_name, parent, name, AtFlags::empty());
        match replacing(entry, parent, name, link) {
            Err(UnpackError::Write { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(missing())
            }
            result => result,
        }
    }

    fn ids(&self, entry: &Entry) -> (Option<Uid>, Option<Gid>) {
        let (uid, gid) = match self.owner {
            Owner::AsRecorded => (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid)),
            Owner::Always(uid, gid) => (uid, gid),
        };
        (Some(uid), Some(gid))
    }

    fn attributes(&self, entry: &Entry, open: impl std::os::fd::AsFd) -> Result<(), UnpackError> {
        let (uid, gid) = self.ids(entry);
        fchown(open.as_fd(), uid, gid).map_err(failed("set the owner of", entry))?;
        // After the owner, whose change takes set-user-id away.
        fchmod(open.as_fd(), Mode::from_bits_truncate(entry.mode))
            .map_err(failed("set the mode of", entry))
    }

    fn finish(self) -> Result<Unpacked, UnpackError> {
        for (path, mtime) in &self.folders {
            let flags = FOLDER | OFlag::O_NOFOLLOW;
            // What has been moved away meanwhile may have what time it likes.
            if let Ok(folder) = in_root::open(self.root, path.as_path(), flags, Mode::empty()) {
                let (atime, mtime) = times(*mtime);
                futimens(&folder, &atime, &mtime).map_err(|errno| UnpackError::Write {
                    action: "set the times of",
                    path: path.to_string(),
                    source: errno.into(),
                })?;
            }
        }
        Ok(self.unpacked)
    }
}

/// Opens the folder `path` as seen with `root` as `/`; what is missing on the way is made, root's
/// and with mode 0755.
///
/// # Errors
/// The kernel's; `ENOTDIR` when something on the way is no folder.
pub fn make_folders(root: BorrowedFd<'_>, path: &std::path::Path) -> Result<OwnedFd, Errno> {
    let mut here = in_root::open(root, std::path::Path::new("."), FOLDER, Mode::empty())?;
    let mut passed = std::path::PathBuf::new();
    for part in path.components() {
        let std::path::Component::Normal(name) = part else {
            continue;
        };
        passed.push(name);
        here = match in_root::open(root, &passed, FOLDER, Mode::empty()) {
            Err(Errno::ENOENT) => {
                let mode = Mode::from_bits_truncate(0o755);
                match mkdirat(&here, name, mode) {
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(errno) => return Err(errno),
                }
                let new = openat(&here, name, FOLDER | OFlag::O_NOFOLLOW, Mode::empty())?;
                fchmod(&new, mode)?; // Whatever the umask took away.
                new
            }
            open => open?,
        };
    }
    Ok(here)
}

/// Makes something under a name, in the place of what is there, unless that is a folder.
fn replacing<T>(
    entry: &Entry,
    parent: BorrowedFd<'_>,
    name: &OsStr,
    make: impl Fn() -> Result<T, Errno>,
) -> Result<T, UnpackError> {
    // Somebody may put something there again and again.
    for _ in 0..16 {
        match make() {
            Err(Errno::EEXIST) => {}
            result => return result.map_err(failed("create", entry)),
        }
        let there = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW);
        if there.is_ok_and(|stat| stat.st_mode & S_IFMT == S_IFDIR) {
            return Err(UnpackError::OverFolder(entry.shown()));
        }
        match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(failed("replace", entry)(errno)),
        }
    }
    Err(failed("replace", entry)(Errno::EEXIST))
}

/// Many file systems have no attributes; none is needed to use a file.
fn carried(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::EOPNOTSUPP) => Ok(()),
        result => result,
    }
}

fn times((seconds, nanoseconds): (i64, i64)) -> (TimeSpec, TimeSpec) {
    (TimeSpec::UTIME_NOW, TimeSpec::new(seconds, nanoseconds))
}

fn failed<E: Into<io::Error>>(
    action: &'static str,
    entry: &Entry,
) -> impl FnOnce(E) -> UnpackError {
    let path = entry.shown();
    move |source| UnpackError::Write {
        action,
        path,
        source: source.into(),
    }
}
