//! A layer's tar, made again of its record and its files.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;
use nix::fcntl::OFlag;
use sha2::{Digest as _, Sha256};

use crate::image::digest::{DiffId, Digest};
use crate::image::layer::record::{END, FILE, FileNumber, MAGIC, RECORD, VERBATIM};
use crate::image::limits::MAX_PATH_BYTES;
use crate::sys::in_root;

/// Why a layer cannot be made a tar again.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Loaded by a keel that wrote no record.
    #[error(
        "there is no record of the tar of layer {0}, as an older keel unpacked it: remove the images that have it, and load or pull them again"
    )]
    NoRecord(DiffId),
    /// The record, or a file that belongs to it.
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
    /// The record.
    #[error("the record `{}` is damaged: remove the image, and load or pull it again", .0.display())]
    Record(PathBuf),
    /// A file of the layer.
    #[error(
        "the file `{}` of the layer is not as it was unpacked: remove the image, and load or pull it again",
        .0.display()
    )]
    Changed(PathBuf),
    /// The whole.
    #[error(
        "the layer's files give a tar with diffID {found}, not {expected}: they were changed; remove the image, and load or pull it again"
    )]
    DiffId {
        /// Of the tar.
        found: DiffId,
        /// Of the layer.
        expected: DiffId,
    },
}

impl RebuildError {
    fn io<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source: source.into(),
        }
    }
}

/// The uncompressed tar of a layer, byte for byte as it was unpacked. Its last read fails if what
/// was read has another digest.
pub(in crate::image) struct LayerTar {
    folder: PathBuf,
    tree: File,
    segments: BufReader<GzDecoder<BufReader<File>>>,
    bytes: u64,
    files: u64,
    at: At,
    hasher: Sha256,
    expected: DiffId,
}

/// Where in the record the next byte comes from.
enum At {
    Between,
    Verbatim {
        left: u64,
    },
    File {
        file: File,
        path: PathBuf,
        left: u64,
    },
    End,
}

impl LayerTar {
    /// The tar of the layer in `folder`.
    pub(in crate::image) fn open(folder: &Path, expected: DiffId) -> Result<Self, RebuildError> {
        let path = folder.join(RECORD);
        let record = match File::open(&path) {
            Ok(record) => record,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(RebuildError::NoRecord(expected));
            }
            Err(error) => return Err(RebuildError::io("open", &path)(error)),
        };
        let mut record = BufReader::new(record);
        let mut magic = [0; MAGIC.len()];
        let mut bytes = [0; 8];
        let start = record
            .read_exact(&mut magic)
            .and_then(|()| record.read_exact(&mut bytes));
        if start.is_err() || magic != *MAGIC {
            return Err(RebuildError::Record(path));
        }
        let tree = folder.join("fs");
        Ok(Self {
            tree: File::open(&tree).map_err(RebuildError::io("open", &tree))?,
            segments: BufReader::new(GzDecoder::new(record)),
            folder: folder.to_owned(),
            bytes: u64::from_le_bytes(bytes),
            files: 0,
            at: At::Between,
            hasher: Sha256::new(),
            expected,
        })
    }

    /// How many bytes there are.
    pub(in crate::image) const fn length(&self) -> u64 {
        self.bytes
    }

    fn damaged(&self) -> RebuildError {
        RebuildError::Record(self.folder.join(RECORD))
    }

    fn number<const BYTES: usize>(&mut self) -> Result<[u8; BYTES], RebuildError> {
        let mut number = [0; BYTES];
        self.segments
            .read_exact(&mut number)
            .map_err(|_| self.damaged())?;
        Ok(number)
    }

    /// Goes on to the next part of the record.
    fn next_segment(&mut self) -> Result<At, RebuildError> {
        match self.number::<1>()? {
            [VERBATIM] => Ok(At::Verbatim {
                left: u32::from_le_bytes(self.number()?).into(),
            }),
            [FILE] => {
                let length = usize::from(u16::from_le_bytes(self.number()?));
                if length > MAX_PATH_BYTES {
                    return Err(self.damaged());
                }
                let mut path = vec![0; length];
                self.segments
                    .read_exact(&mut path)
                    .map_err(|_| self.damaged())?;
                let left = u64::from_le_bytes(self.number()?);
                let number = FileNumber(self.files);
                self.files += 1;
                self.contents(number, Path::new(std::ffi::OsStr::from_bytes(&path)), left)
            }
            [END] => {
                let found = DiffId::new(Digest::from_hasher(std::mem::take(&mut self.hasher)));
                if found == self.expected {
                    Ok(At::End)
                } else {
                    Err(RebuildError::DiffId {
                        found,
                        expected: self.expected,
                    })
                }
            }
            _ => Err(self.damaged()),
        }
    }

    /// The contents of a file: those that were put aside, or those in the tree.
    fn contents(&self, number: FileNumber, path: &Path, left: u64) -> Result<At, RebuildError> {
        let aside = number.contents(&self.folder);
        let (file, path) = match File::open(&aside) {
            Ok(file) => (file, aside),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let shown = self.folder.join("fs").join(path);
                let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
                let file = in_root::open_without_links(self.tree.as_fd(), path, flags)
                    .map_err(RebuildError::io("open", &shown))?;
                (File::from(file), shown)
            }
            Err(error) => return Err(RebuildError::io("open", &aside)(error)),
        };
        let stat = file
            .metadata()
            .map_err(RebuildError::io("examine", &path))?;
        if !stat.is_file() || stat.len() != left {
            return Err(RebuildError::Changed(path));
        }
        Ok(At::File { file, path, left })
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, RebuildError> {
        loop {
            let length = match &mut self.at {
                At::End => return Ok(0),
                At::Between | At::Verbatim { left: 0 } | At::File { left: 0, .. } => {
                    self.at = self.next_segment()?;
                    continue;
                }
                At::Verbatim { left } => {
                    let part = self.segments.by_ref().take(*left).read(buffer);
                    match part {
                        Ok(length) if length > 0 => {
                            *left -= length as u64;
                            length
                        }
                        _ => return Err(self.damaged()),
                    }
                }
                At::File { file, path, left } => {
                    let length = file
                        .take(*left)
                        .read(buffer)
                        .map_err(RebuildError::io("read", path))?;
                    if length == 0 {
                        return Err(RebuildError::Changed(path.clone()));
                    }
                    *left -= length as u64;
                    length
                }
            };
            self.hasher.update(buffer.get(..length).unwrap_or_default());
            return Ok(length);
        }
    }
}

impl Read for LayerTar {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.read_some(buffer).map_err(|error| match error {
            RebuildError::Io { ref source, .. } => io::Error::new(source.kind(), error),
            RebuildError::NoRecord(_)
            | RebuildError::Record(_)
            | RebuildError::Changed(_)
            | RebuildError::DiffId { .. } => io::Error::other(error),
        })
    }
}

#[cfg(test)]
mod tests;
