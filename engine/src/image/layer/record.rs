//! What makes a layer's tar again of the files that were unpacked from it: a record, written while
//! the tar is read (decision 0075).
//!
//! A layer's identity is the digest of its tar, and no program writes a given tree as the very tar
//! that another program wrote. So all of the stream but the contents of regular files is kept
//! verbatim (as Docker's tar-split does), and those are taken from the layer's tree.
//!
//! ```text
//! tar-record       "keel.tar-record/1\n", the tar's bytes (u64), then, compressed by gzip:
//!                  0, length (u32), bytes           a stretch of the tar, verbatim
//!                  1, length (u16), path, size (u64)  the contents of the file at this path
//!                  2                                the end
//! tar-contents/N   contents of the Nth file of the record (from 0) which its path does not lead
//!                  to any more: a later entry of the same tar put something else there
//! ```
//!
//! Numbers are little-endian. A path has no symbolic link on it: where there is one, the contents
//! are kept verbatim, as the link may be changed by the rest of the tar.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::libc::{S_IFDIR, S_IFMT, S_IFREG};
use nix::sys::stat::{Mode, fstatat};

use crate::image::layer::path::EntryPath;
use crate::storage::{entries, remove_entry};

pub(super) const MAGIC: &[u8; 18] = b"keel.tar-record/1\n";
pub(super) const RECORD: &str = "tar-record";
pub(super) const CONTENTS: &str = "tar-contents";

pub(super) const VERBATIM: u8 = 0;
pub(super) const FILE: u8 = 1;
pub(super) const END: u8 = 2;

/// Verbatim bytes that are gathered before they are written.
const GATHERED: usize = 64 << 10;

/// The number of a file in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileNumber(pub(super) u64);

impl FileNumber {
    /// Where its contents are if its path does not lead to them.
    pub(super) fn contents(self, layer: &Path) -> PathBuf {
        layer.join(CONTENTS).join(self.0.to_string())
    }
}

/// Records the tar that is read through it.
pub(super) struct Recording<R> {
    inner: R,
    out: GzEncoder<BufWriter<File>>,
    verbatim: Vec<u8>,
    bytes: u64,
    files: u64,
    contents: Contents,
}

/// What becomes of the bytes that pass by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contents {
    Kept,
    LeftOut,
}

impl<R: Read> Recording<R> {
    /// Starts a record in the folder of a layer in the making.
    pub(super) fn start(inner: R, layer: &Path) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create_new(layer.join(RECORD))?);
        file.write_all(MAGIC)?;
        file.write_all(&0_u64.to_le_bytes())?;
        Ok(Self {
            inner,
            out: GzEncoder::new(file, Compression::fast()),
            verbatim: Vec::with_capacity(GATHERED),
            bytes: 0,
            files: 0,
            contents: Contents::Kept,
        })
    }

    /// What comes next are the `size` bytes of the file at `path`: they are left out until
    /// [`keep`](Self::keep).
    pub(super) fn leave_out(&mut self, path: &EntryPath, size: u64) -> io::Result<FileNumber> {
        self.write_verbatim()?;
        let path = path.as_path().as_os_str().as_bytes();
        let length = u16::try_from(path.len()).map_err(io::Error::other)?;
        self.out.write_all(&[FILE])?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(path)?;
        self.out.write_all(&size.to_le_bytes())?;
        self.contents = Contents::LeftOut;
        self.files += 1;
        Ok(FileNumber(self.files - 1))
    }

    /// What comes next is kept.
    pub(super) fn keep(&mut self) {
        self.contents = Contents::Kept;
    }

    /// Completes the record, now that all was read.
    pub(super) fn finish(mut self) -> io::Result<R> {
        self.write_verbatim()?;
        self.out.write_all(&[END])?;
        let mut file = self.out.finish()?;
        file.seek(SeekFrom::Start(MAGIC.len() as u64))?;
        file.write_all(&self.bytes.to_le_bytes())?;
        file.flush()?;
        Ok(self.inner)
    }

    fn write_verbatim(&mut self) -> io::Result<()> {
        if self.verbatim.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(self.verbatim.len()).map_err(io::Error::other)?;
        self.out.write_all(&[VERBATIM])?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&self.verbatim)?;
        self.verbatim.clear();
        Ok(())
    }
}

impl<R: Read> Read for Recording<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.bytes += length as u64;
        if self.contents == Contents::Kept {
            self.verbatim
                .extend_from_slice(buffer.get(..length).unwrap_or_default());
            if self.verbatim.len() >= GATHERED {
                self.write_verbatim()?;
            }
        }
        Ok(length)
    }
}

/// The files of a record by their inodes, to keep the contents of those that are removed before
/// the layer is complete. Files are only ever made and removed, so an inode's contents stay.
pub(super) struct Recorded<'a> {
    layer: &'a Path,
    files: HashMap<u64, FileNumber>,
}

impl<'a> Recorded<'a> {
    pub(super) fn new(layer: &'a Path) -> Self {
        Self {
            layer,
            files: HashMap::new(),
        }
    }

    /// The record left out the contents of the file with this inode.
    pub(super) fn add(&mut self, inode: u64, number: FileNumber) {
        self.files.insert(inode, number);
    }

    /// Removes an entry of a folder, whatever it is, and keeps the contents that the record needs.
    pub(super) fn remove(&mut self, folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        if !self.files.is_empty() {
            self.save(folder, name)?;
        }
        Ok(remove_entry(folder, name)?)
    }

    fn save(&mut self, folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        let stat = match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match stat.st_mode & S_IFMT {
            S_IFREG => {
                let Some(number) = self.files.remove(&stat.st_ino) else {
                    return Ok(());
                };
                let mut from = File::from(openat(folder, name, flags, Mode::empty())?);
                let path = number.contents(self.layer);
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(self.layer.join(CONTENTS))?;
                io::copy(&mut from, &mut File::create_new(path)?).map(drop)
            }
            S_IFDIR => {
                let open = openat(folder, name, flags | OFlag::O_DIRECTORY, Mode::empty())?;
                for (name, _) in entries(open.as_fd())? {
                    self.save(open.as_fd(), OsStr::from_bytes(name.to_bytes()))?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
