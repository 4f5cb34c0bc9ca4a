//! Copies whole trees: hard links, holes, extended attributes and times included.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, copy_file_range, openat, readlinkat};
use nix::libc::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat, mknodat};
use nix::unistd::{Whence, ftruncate, linkat, lseek, symlinkat};

use crate::image::limits::MAX_DEPTH;
use crate::storage::StorageError;
use crate::storage::attributes::{carry_over, copy_attributes};
use crate::storage::remove::entries;
use crate::sys::clone_file::clone_file;

const FOLDER: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// Makes the empty folder `to` a copy of the folder `from`, which nobody changes meanwhile.
pub(super) fn copy_tree(from: &Path, to: &Path) -> Result<(), StorageError> {
    let open = |path: &Path| {
        openat(AT_FDCWD, path, FOLDER, Mode::empty()).map_err(StorageError::io("open", path))
    };
    let (source, target) = (open(from)?, open(to)?);
    let mut copy = Copy {
        root: target.as_fd(),
        links: HashMap::new(),
        means: Means::Clone,
        path: PathBuf::new(),
        from,
        depth: 0,
    };
    copy.folder(source.as_fd(), target.as_fd())?;
    copy_attributes(from, to)
}

/// The quickest way of copying that has worked so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Means {
    Clone,
    InKernel,
    ByHand,
}

struct Copy<'a> {
    root: BorrowedFd<'a>,
    /// The first name of each file that has several, from the root of the copy.
    links: HashMap<(u64, u64), PathBuf>,
    means: Means,
    /// Where we are, from the root.
    path: PathBuf,
    from: &'a Path,
    depth: usize,
}

impl Copy<'_> {
    fn folder(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), StorageError> {
        if self.depth > MAX_DEPTH {
            return Err(StorageError::TooDeep {
                path: self.from.to_owned(),
                limit: MAX_DEPTH,
            });
        }
        let names = entries(from).map_err(StorageError::io("list", self.shown()))?;
        for (name, _) in names {
            self.path.push(OsStr::from_bytes(name.to_bytes()));
            self.entry(from, to, &name)?;
            self.path.pop();
        }
        Ok(())
    }

    fn entry(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<(), StorageError> {
        let failed = |copy: &Self| StorageError::io::<Errno>("copy", copy.shown());
        let stat = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(failed(self))?;
        if stat.st_mode & S_IFMT == S_IFDIR {
            let open = || -> Result<(OwnedFd, OwnedFd), Errno> {
                mkdirat(to, name, Mode::S_IRWXU)?;
                Ok((
                    openat(from, name, FOLDER, Mode::empty())?,
                    openat(to, name, FOLDER, Mode::empty())?,
                ))
            };
            let (inner_from, inner_to) = open().map_err(failed(self))?;
            self.depth += 1;
            self.folder(inner_from.as_fd(), inner_to.as_fd())?;
            self.depth -= 1;
        } else {
            if stat.st_nlink > 1 {
                if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                    return linkat(self.root, first, to, name, AtFlags::empty())
                        .map_err(failed(self));
                }
                let key = (stat.st_dev, stat.st_ino);
                self.links.insert(key, self.path.clone());
            }
            self.file(&stat, from, to, name).map_err(failed(self))?;
        }
        let entry = OsStr::from_bytes(name.to_bytes());
        carry_over(&stat, (from, entry), (to, entry)).map_err(failed(self))
    }

    fn file(
        &mut self,
        stat: &FileStat,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<(), Errno> {
        match stat.st_mode & S_IFMT {
            S_IFREG => {
                let read = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let write = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
                let source = openat(from, name, read, Mode::empty())?;
                let target = openat(to, name, write, Mode::S_IRUSR | Mode::S_IWUSR)?;
                self.contents(&File::from(source), &File::from(target), stat.st_size)
            }
            S_IFLNK => {
                let target = readlinkat(from, name)?;
                symlinkat(target.as_os_str(), to, name)
            }
            kind @ (S_IFCHR | S_IFBLK | S_IFIFO | S_IFSOCK) => mknodat(
                to,
                name,
                SFlag::from_bits_truncate(kind),
                Mode::S_IRUSR | Mode::S_IWUSR,
                stat.st_rdev,
            ),
            _ => Err(Errno::EINVAL),
        }
    }

    fn contents(&mut self, from: &File, to: &File, size: i64) -> Result<(), Errno> {
        if size == 0 {
            return Ok(());
        }
        if self.means == Means::Clone {
            match clone_file(from, to) {
                Err(Errno::EOPNOTSUPP | Errno::ENOTTY | Errno::EINVAL | Errno::EXDEV) => {
                    self.means = Means::InKernel;
                }
                result => return result,
            }
        }
        ftruncate(to, size)?;
        let mut end = 0;
        while end < size {
            let start = match lseek(from, end, Whence::SeekData) {
                Ok(start) => start,
                Err(Errno::ENXIO) => break, // A hole up to the end.
                Err(Errno::EINVAL) => end,  // No holes here: it is all data.
                Err(errno) => return Err(errno),
            };
            end = match lseek(from, start, Whence::SeekHole) {
                Ok(hole) => hole.min(size),
                Err(Errno::EINVAL) => size,
                Err(errno) => return Err(errno),
            };
            self.range(from, to, start, end)?;
        }
        Ok(())
    }

    fn range(&mut self, from: &File, to: &File, start: i64, end: i64) -> Result<(), Errno> {
        let (mut read_at, mut write_at) = (start, start);
        while self.means == Means::InKernel && read_at < end {
            let length = usize::try_from(end - read_at).unwrap_or(usize::MAX);
            match copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), length) {
                Ok(0) => return Ok(()), // Shorter than it was.
                Ok(_) | Err(Errno::EINTR) => {}
                // Before 4.5; or across file systems, before 5.3.
                Err(Errno::ENOSYS | Errno::EXDEV | Errno::EINVAL | Errno::EOPNOTSUPP) => {
                    self.means = Means::ByHand;
                }
                Err(errno) => return Err(errno),
            }
        }
        if read_at >= end {
            return Ok(());
        }
        let by_hand = || -> io::Result<()> {
            let (mut from, mut to) = (from, to);
            // No offset in a file is negative.
            let at = u64::try_from(read_at).unwrap_or(0);
            let length = u64::try_from(end - read_at).unwrap_or(0);
            from.seek(SeekFrom::Start(at))?;
            to.seek(SeekFrom::Start(at))?;
            let mut limited = io::Read::take(from, length);
            io::copy(&mut limited, &mut to)?;
            to.flush()
        };
        by_hand().map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(nix::libc::EIO)))
    }

    fn shown(&self) -> PathBuf {
        self.from.join(&self.path)
    }
}
