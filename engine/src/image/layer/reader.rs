//! Reads a tar stream entry by entry: ustar, GNU and pax, with bounds on everything.
//!
//! The `tar` crate decodes the fixed header; the stream is walked here, because what an entry's
//! extended headers say must be bounded before it is read, and because two programs that disagree
//! about where an entry ends can be made to see different files (CVE-2025-62518).

use std::ffi::CString;
use std::io::{self, Read, Seek};

use tar::Header;

use crate::image::layer::path::{EntryPath, PathError};
use crate::image::layer::pax;
use crate::image::limits::{
    MAX_ENTRIES, MAX_PATH_BYTES, MAX_PATHS_BYTES, MAX_TAR_EXTENSION_BYTES, MAX_TAR_EXTENSIONS,
    MAX_XATTRS,
};

const BLOCK: usize = 512;

/// What is wrong with a tar stream.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// It cannot be read, or decompressed.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// It ends within an entry.
    #[error("it is cut off")]
    CutOff,
    /// A header's checksum does not fit.
    #[error("it is no tar, or damaged: the checksum of entry {0} does not fit")]
    Checksum(u64),
    /// A header's number.
    #[error("the {what} of entry {entry} is no number that fits")]
    Number {
        /// Which.
        what: &'static str,
        /// Where, counted from 1.
        entry: u64,
    },
    /// A pax header.
    #[error("the pax header of entry {0} is malformed")]
    Pax(u64),
    /// A pax header or a long name that is too long, or too many of them.
    #[error("the extended headers of entry {0} are too large")]
    Extensions(u64),
    /// An entry's path.
    #[error("entry `{path}` is refused")]
    Path {
        /// As far as it can be shown.
        path: String,
        /// Why.
        #[source]
        source: PathError,
    },
    /// A kind of entry that is not supported.
    #[error(
        "entry `{path}` is of type `{kind}`, which is not supported: make the tar without sparse files and volumes"
    )]
    Kind {
        /// As far as it can be shown.
        path: String,
        /// The type's letter, or `sparse`.
        kind: String,
    },
    /// Too many entries.
    #[error("it has more than {MAX_ENTRIES} entries")]
    TooMany,
    /// Paths that take too much memory.
    #[error("the paths of its entries have more than {} MiB", MAX_PATHS_BYTES >> 20)]
    Paths,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    /// A further name of the file at this path.
    Hard(EntryPath),
    /// A symbolic link with this text.
    Symbolic(Vec<u8>),
    Fifo,
    Device,
}

/// An entry.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: EntryPath,
    pub(crate) kind: Kind,
    /// Permissions with set-user-id, set-group-id and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds and nanoseconds.
    pub(crate) mtime: (i64, i64),
    pub(crate) xattrs: Vec<(CString, Vec<u8>)>,
}

impl Entry {
    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    pub(crate) fn path(&self) -> &EntryPath {
        &self.path
    }

    /// The path, for messages.
    pub(crate) fn shown(&self) -> String {
        self.path.to_string()
    }
}

/// A foreign name in a form that can be printed: at most 200 characters, controls escaped.
pub(crate) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .take(200)
        .flat_map(char::escape_debug)
        .collect()
}

/// What extended headers say about the entry that follows.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<(i64, i64)>,
    xattrs: Vec<(CString, Vec<u8>)>,
    sparse: bool,
}

/// Walks a tar stream.
pub(crate) struct TarReader<R> {
    inner: R,
    entries: u64,
    /// Bytes of the paths of all entries, and of what they link to.
    paths: usize,
    /// Bytes of the present entry that are not read yet.
    left: u64,
    /// Bytes after them up to the next block.
    padding: u64,
}

impl<R: Read> TarReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            entries: 0,
            paths: 0,
            left: 0,
            padding: 0,
        }
    }

    /// What the stream was read from, to read the rest of it.
    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// What the stream is read from.
    pub(super) fn source(&mut self) -> &mut R {
        &mut self.inner
    }

    /// Bytes of the present entry's contents that are still to come.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// The next entry, or `None` at the end. What was not read of the last one is passed over.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extended = Extended::default();
        let mut extensions = 0;
        loop {
            self.skip_rest()?;
            let Some(header) = self.header()? else {
                return if extensions == 0 {
                    Ok(None)
                } else {
                    Err(TarError::CutOff)
                };
            };
            let size = header.entry_size().map_err(|_| self.number("size"))?;
            let kind = header.as_bytes().get(156).copied().unwrap_or(0);
            if matches!(kind, b'x' | b'g' | b'L' | b'K') {
                extensions += 1;
                if size > MAX_TAR_EXTENSION_BYTES || extensions > MAX_TAR_EXTENSIONS {
                    return Err(TarError::Extensions(self.entries));
                }
                self.expect(size);
                let mut data = Vec::new();
                self.read_to_end(&mut data).map_err(read_error)?;
                match kind {
                    b'x' => self.pax(&data, &mut extended)?,
                    b'L' => extended.path = Some(before_nul(&data)),
                    b'K' => extended.link = Some(before_nul(&data)),
                    // Global headers are git's commit ids and the like.
                    _ => {}
                }
                continue;
            }
            return self.entry(&header, kind, size, extended).map(Some);
        }
    }

    fn entry(
        &mut self,
        header: &Header,
        kind: u8,
        size: u64,
        extended: Extended,
    ) -> Result<Entry, TarError> {
        let raw = extended
            .path
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let refused = |raw: &[u8], source| TarError::Path {
            path: shown(raw),
            source,
        };
        let path = EntryPath::parse(&raw).map_err(|source| refused(&raw, source))?;
        let link = extended
            .link
            .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
            .unwrap_or_default();
        self.paths = self.paths.saturating_add(raw.len() + link.len());
        if self.paths > MAX_PATHS_BYTES {
            return Err(TarError::Paths);
        }
        let unsupported = |kind: String| TarError::Kind {
            path: shown(&raw),
            kind,
        };
        if extended.sparse {
            return Err(unsupported("sparse".to_owned()));
        }
        let kind = match kind {
            b'0' | 0 | b'7' if raw.ends_with(b"/") => Kind::Folder,
            b'0' | 0 | b'7' => Kind::File,
            b'1' => Kind::Hard(EntryPath::parse(&link).map_err(|source| refused(&link, source))?),
            b'2' => {
                if link.contains(&0) {
                    return Err(refused(&link, PathError::Nul));
                }
                if link.is_empty() || link.len() >= MAX_PATH_BYTES {
                    return Err(refused(&link, PathError::TooLong));
                }
                Kind::Symbolic(link)
            }
            b'3' | b'4' => Kind::Device,
            b'5' => Kind::Folder,
            b'6' => Kind::Fifo,
            other => return Err(unsupported(char::from(other).escape_debug().to_string())),
        };
        // As Go's archive/tar, with which images are made: only files have contents.
        self.expect(match kind {
            Kind::File => extended.size.unwrap_or(size),
            Kind::Folder | Kind::Hard(_) | Kind::Symbolic(_) | Kind::Fifo | Kind::Device => 0,
        });
        // What one cannot own is not an id: -1 means "leave it" to chown.
        let id = |value: Option<u64>, or: io::Result<u64>, what| {
            value
                .or(or.ok())
                .and_then(|id| u32::try_from(id).ok())
                .filter(|id| *id != u32::MAX)
                .ok_or_else(|| self.number(what))
        };
        let mtime = if let Some(mtime) = extended.mtime {
            mtime
        } else {
            // Before 1970 a base-256 number is negative.
            let mtime = blank_is_zero(&header.as_old().mtime, header.mtime())
                .map_err(|_| self.number("mtime"))?;
            (i64::from_ne_bytes(mtime.to_ne_bytes()), 0)
        };
        Ok(Entry {
            mode: header.mode().map_err(|_| self.number("mode"))? & 0o7777,
            uid: id(
                extended.uid,
                blank_is_zero(&header.as_old().uid, header.uid()),
                "uid",
            )?,
            gid: id(
                extended.gid,
                blank_is_zero(&header.as_old().gid, header.gid()),
                "gid",
            )?,
            path,
            kind,
            mtime,
            xattrs: extended.xattrs,
        })
    }

    fn pax(&self, data: &[u8], extended: &mut Extended) -> Result<(), TarError> {
        let malformed = |pax::Malformed| TarError::Pax(self.entries);
        for (key, value) in pax::records(data).map_err(malformed)? {
            let text = || (!value.is_empty()).then(|| value.to_vec());
            let number = || {
                (!value.is_empty())
                    .then(|| pax::number(value))
                    .transpose()
                    .map_err(malformed)
            };
            match key {
                "path" => extended.path = text(),
                "linkpath" => extended.link = text(),
                "size" => extended.size = number()?,
                "uid" => extended.uid = number()?,
                "gid" => extended.gid = number()?,
                "mtime" => {
                    extended.mtime = (!value.is_empty())
                        .then(|| pax::time(value))
                        .transpose()
                        .map_err(malformed)?;
                }
                key if key.starts_with("GNU.sparse.") => extended.sparse = true,
                key => {
                    if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                        let name = CString::new(name).map_err(|_| malformed(pax::Malformed))?;
                        extended.xattrs.push((name, value.to_vec()));
                    }
                }
            }
        }
        if extended.xattrs.len() > MAX_XATTRS {
            return Err(TarError::Extensions(self.entries));
        }
        Ok(())
    }

    /// The next header, or `None` at a block of zeros or at the end of the stream.
    fn header(&mut self) -> Result<Option<Header>, TarError> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let mut filled = 0;
        while let Some(free) = block.get_mut(filled..).filter(|free| !free.is_empty()) {
            match self.inner.read(free) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(TarError::CutOff),
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TarError::Read(error)),
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(TarError::TooMany);
        }
        if header.cksum().ok() == Some(checksum(header.as_bytes())) {
            Ok(Some(header))
        } else {
            Err(TarError::Checksum(self.entries))
        }
    }

    fn number(&self, what: &'static str) -> TarError {
        TarError::Number {
            what,
            entry: self.entries,
        }
    }

    fn expect(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    /// Where the present entry's contents start, before any of them was read.
    pub(crate) fn position(&mut self) -> io::Result<u64>
    where
        R: Seek,
    {
        self.inner.stream_position()
    }

    /// Passes over the present entry's contents without reading them; `length` is that of the
    /// whole tar.
    pub(crate) fn pass_over(&mut self, length: u64) -> Result<(), TarError>
    where
        R: Seek,
    {
        let here = self.position().map_err(TarError::Read)?;
        let skip = self
            .left
            .checked_add(self.padding)
            .ok_or_else(|| self.number("size"))?;
        if here.checked_add(self.left).is_none_or(|end| end > length) {
            return Err(TarError::CutOff);
        }
        let skip = i64::try_from(skip).map_err(|_| self.number("size"))?;
        self.inner.seek_relative(skip).map_err(TarError::Read)?;
        self.left = 0;
        self.padding = 0;
        Ok(())
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        let skip = self
            .left
            .checked_add(self.padding)
            .ok_or_else(|| self.number("size"))?;
        let skipped = io::copy(&mut self.inner.by_ref().take(skip), &mut io::sink())
            .map_err(TarError::Read)?;
        self.left = 0;
        self.padding = 0;
        if skipped < skip {
            return Err(TarError::CutOff);
        }
        Ok(())
    }
}

/// Reads the contents of the present entry.
impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let length = self.inner.read(buffer)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= length as u64;
        Ok(length)
    }
}

/// An error of reading an entry's contents.
pub(super) fn read_error(error: io::Error) -> TarError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        TarError::CutOff
    } else {
        TarError::Read(error)
    }
}

/// The sum of a header's bytes, those of the sum itself (148 to 155) taken as spaces.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().copied().map(u32::from).sum::<u32>();
    let own = block.get(148..156).map_or(0, sum);
    sum(block) - own + 8 * u32::from(b' ')
}

fn before_nul(data: &[u8]) -> Vec<u8> {
    data.iter().copied().take_while(|byte| *byte != 0).collect()
}

/// A field of nothing but NULs and spaces is 0, as GNU tar and Go's archive/tar have it.
fn blank_is_zero(field: &[u8], value: io::Result<u64>) -> io::Result<u64> {
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Ok(0);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries of long paths without end: a GNU long name of 4095 bytes before each.
    struct Paths {
        block: Vec<u8>,
        at: usize,
    }

    impl Read for Paths {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let rest = &self.block[self.at..];
            let length = rest.len().min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            self.at = (self.at + length) % self.block.len();
            Ok(length)
        }
    }

    #[test]
    fn paths_cannot_fill_the_memory() {
        let header = |kind: u8, size: u64| {
            let mut header = Header::new_gnu();
            header.set_entry_type(tar::EntryType::new(kind));
            header.set_size(size);
            header.set_mode(0);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_cksum();
            header.as_bytes().to_vec()
        };
        let path = [b"n".repeat(200), b"/".to_vec()].concat().repeat(20);
        let padding = vec![0; path.len().next_multiple_of(BLOCK) - path.len()];
        let block = [
            header(b'L', path.len() as u64),
            path,
            padding,
            header(b'0', 0),
        ]
        .concat();
        let mut tar = TarReader::new(Paths { block, at: 0 });
        let mut entries = 0;
        let error = loop {
            match tar.next_entry() {
                Ok(entry) => entries += u64::from(entry.is_some()),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, TarError::Paths), "{error}");
        assert!(entries < MAX_ENTRIES / 10, "{entries}");
    }
}
