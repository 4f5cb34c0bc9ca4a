//! Writes a tar's entries below a root folder, and never anywhere else.
//!
//! Every place is reached from the root's descriptor by [`in_root`], every name is then used
//! relative to an open folder and not followed. So neither `..`, nor absolute paths, nor links
//! that an earlier entry or a lower layer brought, lead out (CVE-2014-6407, CVE-2014-9356,
//! CVE-2018-15664).

use std::collections::{BTreeMap, HashSet};
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::libc::{S_IFDIR, S_IFLNK, S_IFMT};
use nix::sys::stat::{
    FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, fstat, fstatat, mkdirat, mknodat,
    utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat, linkat, symlinkat};

use crate::image::layer::path::EntryPath;
use crate::image::layer::reader::{Entry, Kind, TarError, TarReader, read_error, shown};
use crate::image::layer::record::{Recorded, Recording};
use crate::storage::{Filling, entries};
use crate::sys::user_namespace::{Users, is_root_alone, users};
use crate::sys::{in_root, xattr};

/// What stopped an unpacking.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The tar is at fault.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// A system call failed.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The path in the image.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A whiteout that names nothing, or nothing that may be removed.
    #[error("whiteout `{0}` names no file of its folder")]
    Whiteout(String),
    /// A hard link to nothing.
    #[error("`{path}` is a hard link to `{target}`, which is not in the image")]
    HardLink {
        /// The link.
        path: String,
        /// What it is to be another name of.
        target: String,
    },
    /// An owner that a user's keel cannot give a file to.
    #[error(
        "`{path}` belongs to {uid}:{gid}, and there are fewer ids here; give this user longer ranges in /etc/subuid and /etc/subgid"
    )]
    Owner {
        /// The entry.
        path: String,
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// The root as something else than a folder.
    #[error("the image's root would be something else than a folder")]
    Root,
    /// An attribute that would change what a stack of layers shows.
    #[error("`{path}` has the attribute `{name}`, which only the storage driver may set")]
    Attribute {
        /// The entry.
        path: String,
        /// The attribute.
        name: String,
    },
}

/// What a layer brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Bytes of all files.
    pub bytes: u64,
    /// Device nodes that were left out: a container gets its own in `/dev`.
    pub devices: u64,
}

/// Whether there are layers below, in which whiteouts can remove something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::image) enum Lower {
    Absent,
    Present,
}

const FOLDER: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// Writes all entries of `tar` into the merged view, which shows the layers below.
pub(super) fn apply<R: Read>(
    tar: &mut TarReader<Recording<R>>,
    layer: Filling<'_>,
    lower: Lower,
) -> Result<Applied, ApplyError> {
    let mut unpacking = Unpacking {
        root: layer.root,
        lower,
        parent: None,
        recorded: Recorded::new(layer.folder),
        made: HashSet::new(),
        folders: BTreeMap::new(),
        applied: Applied::default(),
        buffer: vec![0; 256 << 10],
    };
    while let Some(entry) = tar.next_entry()? {
        unpacking.entry(&entry, tar)?;
    }
    unpacking.finish()
}

struct Unpacking<'a> {
    root: BorrowedFd<'a>,
    lower: Lower,
    /// The folder that was written to last: most entries lie beside the one before.
    parent: Option<Parent>,
    /// Files whose contents the record of the tar does not have.
    recorded: Recorded<'a>,
    /// What this layer brought, which its own whiteouts spare. Kept if there are layers below.
    made: HashSet<EntryPath>,
    /// Times of folders, which are set when nothing is written into them any more.
    folders: BTreeMap<EntryPath, (i64, i64)>,
    applied: Applied,
    buffer: Vec<u8>,
}

/// An open folder.
struct Parent {
    path: EntryPath,
    folder: OwnedFd,
    way: Way,
}

/// How a path leads to a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Direct,
    /// A later entry may make the link lead elsewhere.
    ThroughLink,
}

impl Unpacking<'_> {
    fn entry<R: Read>(
        &mut self,
        entry: &Entry,
        tar: &mut TarReader<Recording<R>>,
    ) -> Result<(), ApplyError> {
        let Some((folder, name)) = entry.path.split() else {
            if entry.kind != Kind::Folder {
                return Err(ApplyError::Root);
            }
            self.folders.insert(entry.path.clone(), entry.mtime);
            return attributes(entry, self.root, OsStr::new("."));
        };
        // Names that only aufs uses, for itself (`.wh..wh.plnk` and others), but for the one
        // that means "opaque".
        let aufs = |name: &[u8]| name.starts_with(b".wh..wh.");
        if name.as_bytes() != b".wh..wh..opq" && entry.path.names().any(aufs) {
            return Ok(());
        }
        if folder.names().any(|name| name.starts_with(b".wh.")) {
            return Err(ApplyError::Whiteout(entry.shown()));
        }
        if let Some(hidden) = name.as_bytes().strip_prefix(b".wh.") {
            return self.whiteout(entry, &folder, hidden);
        }
        self.open_parent(&folder)?;
        let Some(parent) = self.parent.take_if(|parent| parent.path == folder) else {
            return Err(ApplyError::Root); // `open_parent` has just put it there.
        };
        let result = self.make(entry, &parent, name, tar);
        self.parent = Some(parent);
        if self.lower == Lower::Present {
            self.made.insert(entry.path.clone());
        }
        result
    }

    fn make<R: Read>(
        &mut self,
        entry: &Entry,
        parent: &Parent,
        name: &OsStr,
        tar: &mut TarReader<Recording<R>>,
    ) -> Result<(), ApplyError> {
        let (parent, way) = (parent.folder.as_fd(), parent.way);
        match &entry.kind {
            Kind::Folder => {
                match mkdirat(parent, name, Mode::S_IRWXU) {
                    Ok(()) => {}
                    Err(Errno::EEXIST) => {
                        let stat = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)
                            .map_err(failed("examine", entry))?;
                        if stat.st_mode & S_IFMT != S_IFDIR {
                            self.recorded
                                .remove(parent, name)
                                .map_err(failed("replace", entry))?;
                            mkdirat(parent, name, Mode::S_IRWXU)
                                .map_err(failed("create the folder", entry))?;
                        }
                    }
                    Err(errno) => return Err(failed("create the folder", entry)(errno)),
                }
                self.folders.insert(entry.path.clone(), entry.mtime);
                attributes(entry, parent, name)
            }
            Kind::File => self.file(entry, (parent, way), name, tar),
            Kind::Hard(target) => self.hard_link(entry, target, parent, name),
            Kind::Symbolic(target) => {
                let target = OsStr::from_bytes(target);
                self.replacing(parent, name, || symlinkat(target, parent, name))
                    .map_err(failed("create the link", entry))?;
                attributes(entry, parent, name)?;
                set_times(parent, name, entry.mtime).map_err(failed("set the times of", entry))
            }
            Kind::Fifo => {
                let mode = Mode::S_IRUSR | Mode::S_IWUSR;
                self.replacing(parent, name, || {
                    mknodat(parent, name, SFlag::S_IFIFO, mode, 0)
                })
                .map_err(failed("create the FIFO", entry))?;
                attributes(entry, parent, name)?;
                set_times(parent, name, entry.mtime).map_err(failed("set the times of", entry))
            }
            Kind::Device => {
                self.applied.devices += 1;
                self.recorded
                    .remove(parent, name)
                    .map_err(failed("replace", entry))
            }
        }
    }

    fn file<R: Read>(
        &mut self,
        entry: &Entry,
        (parent, way): (BorrowedFd<'_>, Way),
        name: &OsStr,
        tar: &mut TarReader<Recording<R>>,
    ) -> Result<(), ApplyError> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let file = self
            .replacing(parent, name, || {
                openat(parent, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)
            })
            .map_err(failed("create", entry))?;
        let mut file = File::from(file);
        if way == Way::Direct && tar.left() > 0 {
            let size = tar.left();
            let number = tar.source().leave_out(&entry.path, size);
            let number = number.map_err(failed("record", entry))?;
            let stat = fstat(&file).map_err(failed("examine", entry))?;
            self.recorded.add(stat.st_ino, number);
        }
        while tar.left() > 0 {
            let length = tar.read(&mut self.buffer).map_err(read_error)?;
            let data = self.buffer.get(..length).unwrap_or_default();
            file.write_all(data).map_err(failed("write", entry))?;
            self.applied.bytes += length as u64;
        }
        tar.source().keep();
        attributes(entry, parent, name)?;
        nix::sys::stat::futimens(&file, &TimeSpec::UTIME_NOW, &spec(entry.mtime))
            .map_err(failed("set the times of", entry))
    }

    fn hard_link(
        &mut self,
        entry: &Entry,
        target: &EntryPath,
        parent: BorrowedFd<'_>,
        name: &OsStr,
    ) -> Result<(), ApplyError> {
        let missing = || ApplyError::HardLink {
            path: entry.shown(),
            target: target.to_string(),
        };
        let (folder, target_name) = target.split().ok_or_else(missing)?;
        let folder = match in_root::open(self.root, folder.as_path(), FOLDER, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Err(missing()),
            Err(errno) => return Err(failed("open the target of", entry)(errno)),
        };
        // Without AT_SYMLINK_FOLLOW a link itself gets the new name, wherever it leads.
        let link = || linkat(&folder, target_name, parent, name, AtFlags::empty());
        match link() {
            Err(Errno::EEXIST) => {
                let examine = |folder: BorrowedFd<'_>, name: &OsStr| {
                    fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)
                        .map(|stat| (stat.st_dev, stat.st_ino))
                };
                let old = examine(parent, name).map_err(failed("examine", entry))?;
                match examine(folder.as_fd(), target_name) {
                    Ok(same) if same == old => return Ok(()), // They are one file already.
                    Ok(_) => {}
                    Err(Errno::ENOENT) => return Err(missing()),
                    Err(errno) => return Err(failed("examine the target of", entry)(errno)),
                }
                self.recorded
                    .remove(parent, name)
                    .map_err(failed("replace", entry))?;
                link()
            }
            result => result,
        }
        .map_err(|errno| {
            // EPERM: the target is a folder.
            if matches!(errno, Errno::ENOENT | Errno::EPERM) {
                missing()
            } else {
                failed("link", entry)(errno)
            }
        })
    }

    /// Opens `folder` as the parent of what comes next; what is missing on the way is made.
    fn open_parent(&mut self, folder: &EntryPath) -> Result<(), ApplyError> {
        if matches!(&self.parent, Some(parent) if parent.path == *folder) {
            return Ok(());
        }
        let direct = |root| in_root::open_without_links(root, folder.as_path(), FOLDER);
        let (open, way) = if let Ok(open) = direct(self.root) {
            (open, Way::Direct)
        } else {
            let open = match in_root::open(self.root, folder.as_path(), FOLDER, Mode::empty()) {
                Ok(open) => open,
                Err(Errno::ENOENT | Errno::ENOTDIR) => self.make_folders(folder)?,
                Err(errno) => return Err(failed_at("open", folder)(errno)),
            };
            match direct(self.root) {
                Ok(_) => (open, Way::Direct),
                Err(_) => (open, Way::ThroughLink),
            }
        };
        self.parent = Some(Parent {
            path: folder.clone(),
            folder: open,
            way,
        });
        Ok(())
    }

    /// Folders that no entry told of: root's, mode 0755. A file on the way gives way to one.
    fn make_folders(&mut self, folder: &EntryPath) -> Result<OwnedFd, ApplyError> {
        let mut path = EntryPath::parse(b"").map_err(|_| ApplyError::Root)?;
        let root = self.root;
        let open = |path: &EntryPath| in_root::open(root, path.as_path(), FOLDER, Mode::empty());
        let mut here = open(&path).map_err(failed_at("open", &path))?;
        for name in folder.names() {
            path = path.join(name);
            here = match open(&path) {
                Err(Errno::ENOENT | Errno::ENOTDIR) => {
                    let name = OsStr::from_bytes(name);
                    let stat = fstatat(&here, name, AtFlags::AT_SYMLINK_NOFOLLOW);
                    // A link that leads nowhere stays: the layer's maker meant it.
                    if stat.is_ok_and(|stat| stat.st_mode & S_IFMT != S_IFLNK) {
                        self.recorded
                            .remove(here.as_fd(), name)
                            .map_err(failed_at("replace", &path))?;
                    }
                    let mode = Mode::from_bits_truncate(0o755);
                    mkdirat(&here, name, mode).map_err(failed_at("create the folder", &path))?;
                    fchmodat(&here, name, mode, FchmodatFlags::FollowSymlink)
                        .map_err(failed_at("set the mode of", &path))?;
                    if self.lower == Lower::Present {
                        self.made.insert(path.clone());
                    }
                    open(&path)
                }
                result => result,
            }
            .map_err(failed_at("open", &path))?;
        }
        Ok(here)
    }

    /// Removes what lower layers have under a name, or in a folder (`.wh..wh..opq`). What this
    /// layer itself brought stays, before or after (image-spec, "Whiteouts").
    fn whiteout(
        &mut self,
        entry: &Entry,
        folder: &EntryPath,
        hidden: &[u8],
    ) -> Result<(), ApplyError> {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(ApplyError::Whiteout(entry.shown()));
        }
        if self.lower == Lower::Absent {
            return Ok(());
        }
        self.parent = None; // It may be what is removed.
        let open = match in_root::open(self.root, folder.as_path(), FOLDER, Mode::empty()) {
            Ok(open) => open,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            Err(errno) => return Err(failed("open the folder of", entry)(errno)),
        };
        if hidden == b".wh..opq" {
            self.hide_all(open.as_fd(), folder)
        } else {
            self.hide(
                open.as_fd(),
                OsStr::from_bytes(hidden),
                &folder.join(hidden),
            )
        }
        .map_err(failed("remove what is hidden by", entry))
    }

    fn hide_all(&mut self, folder: BorrowedFd<'_>, path: &EntryPath) -> io::Result<()> {
        for (name, _) in entries(folder)? {
            let inner = path.join(name.to_bytes());
            self.hide(folder, OsStr::from_bytes(name.to_bytes()), &inner)?;
        }
        Ok(())
    }

    fn hide(&mut self, folder: BorrowedFd<'_>, name: &OsStr, path: &EntryPath) -> io::Result<()> {
        if !self.made.contains(path) {
            return self.recorded.remove(folder, name);
        }
        // If it is a folder, what lower layers have in it goes.
        match openat(folder, name, FOLDER | OFlag::O_NOFOLLOW, Mode::empty()) {
            Ok(inner) => self.hide_all(inner.as_fd(), path),
            Err(Errno::ENOTDIR | Errno::ELOOP | Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes something under a name, after removing what is there if need be: of several entries
    /// of one name the last counts.
    fn replacing<T>(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        make: impl Fn() -> Result<T, Errno>,
    ) -> io::Result<T> {
        match make() {
            Err(Errno::EEXIST) => {
                self.recorded.remove(parent, name)?;
                Ok(make()?)
            }
            result => Ok(result?),
        }
    }

    /// Sets the folders' times, which writing into them changed.
    fn finish(self) -> Result<Applied, ApplyError> {
        // Deepest first is not needed: setting a time does not change the folder above.
        for (path, mtime) in &self.folders {
            let flags = FOLDER | OFlag::O_NOFOLLOW;
            match in_root::open(self.root, path.as_path(), flags, Mode::empty()) {
                Ok(folder) => set_times(folder.as_fd(), OsStr::new("."), *mtime)
                    .map_err(failed_at("set the times of", path))?,
                // A later entry put something else there.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
                Err(errno) => return Err(failed_at("open", path)(errno)),
            }
        }
        Ok(self.applied)
    }
}

/// Owner, mode and extended attributes, in the order in which one does not undo the other.
fn attributes(entry: &Entry, parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), ApplyError> {
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
    match fchownat(parent, name, Some(uid), Some(gid), flags) {
        Ok(()) => {}
        // The user namespace has no such id. Where it has one alone, all files are that one's.
        Err(Errno::EINVAL) if is_root_alone() => {}
        Err(Errno::EINVAL) if users() == Users::Mapped => {
            return Err(ApplyError::Owner {
                path: entry.shown(),
                uid: entry.uid,
                gid: entry.gid,
            });
        }
        Err(errno) => return Err(failed("set the owner of", entry)(errno)),
    }
    if !matches!(entry.kind, Kind::Symbolic(_)) {
        // What is named here was just made, and is no link.
        let mode = Mode::from_bits_truncate(entry.mode);
        fchmodat(parent, name, mode, FchmodatFlags::FollowSymlink)
            .map_err(failed("set the mode of", entry))?;
    }
    for (attribute, value) in &entry.xattrs {
        let result = match fate(attribute) {
            Fate::Keep => xattr::set_at(parent, name, attribute, value),
            Fate::LeaveOut => Ok(()),
            Fate::Refuse => {
                return Err(ApplyError::Attribute {
                    path: entry.shown(),
                    name: shown(attribute.to_bytes()),
                });
            }
        };
        match result {
            // Many file systems have no user attributes, or not on links; none is needed to run.
            Err(Errno::EOPNOTSUPP | Errno::EPERM) if attribute.to_bytes().starts_with(b"user.") => {
            }
            result => result.map_err(failed("set an attribute of", entry))?,
        }
    }
    Ok(())
}

/// What becomes of an extended attribute.
enum Fate {
    Keep,
    LeaveOut,
    Refuse,
}

fn fate(attribute: &CStr) -> Fate {
    match attribute.to_bytes() {
        name if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") => {
            Fate::Refuse
        }
        b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => {
            Fate::Keep
        }
        name if name.starts_with(b"user.") => Fate::Keep,
        // Labels and signatures of the machine where the layer was made.
        _ => Fate::LeaveOut,
    }
}

/// Whether an extended attribute is the file's own, to be carried from tree to tree.
pub(crate) fn is_carried(attribute: &CStr) -> bool {
    matches!(fate(attribute), Fate::Keep)
}

fn set_times(folder: BorrowedFd<'_>, name: &OsStr, mtime: (i64, i64)) -> Result<(), Errno> {
    utimensat(
        folder,
        name,
        &TimeSpec::UTIME_NOW,
        &spec(mtime),
        UtimensatFlags::NoFollowSymlink,
    )
}

fn spec((seconds, nanoseconds): (i64, i64)) -> TimeSpec {
    TimeSpec::new(seconds, nanoseconds)
}

fn failed<E: Into<io::Error>>(action: &'static str, entry: &Entry) -> impl FnOnce(E) -> ApplyError {
    failed_at(action, &entry.path)
}

fn failed_at<E: Into<io::Error>>(
    action: &'static str,
    path: &EntryPath,
) -> impl FnOnce(E) -> ApplyError {
    let path = path.to_string();
    move |source| ApplyError::Io {
        action,
        path,
        source: source.into(),
    }
}
