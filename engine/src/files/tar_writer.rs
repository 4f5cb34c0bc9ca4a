//! Writes tar streams: ustar, and a pax header where ustar has no room (POSIX.1-2001).
//!
//! The same entries give the same bytes: no clock, no name of this machine, no user's name.

use std::ffi::CString;
use std::io::{self, Read, Write};

use tar::{EntryType, Header};

const BLOCK: u64 = 512;
/// The largest number in eleven octal figures: sizes and times.
const MAX_LONG: u64 = 0o777_7777_7777;
/// The largest number in seven octal figures: ids.
const MAX_SHORT: u32 = 0o777_7777;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member<'a> {
    /// A file of so many bytes, which follow by [`TarWriter::contents`].
    File(u64),
    /// A folder.
    Folder,
    /// A further name of the file at this path.
    Hard(&'a [u8]),
    /// A symbolic link with this text.
    Symbolic(&'a [u8]),
    /// A named pipe.
    Fifo,
    /// A character device: major and minor.
    Character(u32, u32),
    /// A block device: major and minor.
    Block(u32, u32),
}

/// All about an entry but its contents.
#[derive(Debug, Clone)]
pub struct Head<'a> {
    /// From the root of the tree, without a slash at either end.
    pub path: &'a [u8],
    /// What it is.
    pub member: Member<'a>,
    /// Permissions with set-user-id, set-group-id and sticky.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When it was changed, in seconds since 1970.
    pub mtime: i64,
    /// Extended attributes, sorted by name.
    pub xattrs: &'a [(CString, Vec<u8>)],
}

/// Writes entries to a stream.
#[derive(Debug)]
pub struct TarWriter<W> {
    to: W,
}

impl<W: Write> TarWriter<W> {
    /// A tar that begins here.
    pub const fn new(to: W) -> Self {
        Self { to }
    }

    /// Writes an entry's header.
    ///
    /// # Errors
    /// Those of writing.
    pub fn head(&mut self, head: &Head<'_>) -> io::Result<()> {
        let mut header = Header::new_ustar();
        let mut records = Vec::new();
        let mut path = head.path.to_vec();
        let (kind, size, link) = match head.member {
            Member::File(size) => (EntryType::Regular, size, None),
            Member::Folder => {
                path.push(b'/');
                (EntryType::Directory, 0, None)
            }
            Member::Hard(target) => (EntryType::Link, 0, Some(target)),
            Member::Symbolic(target) => (EntryType::Symlink, 0, Some(target)),
            Member::Fifo => (EntryType::Fifo, 0, None),
            Member::Character(major, minor) => {
                set_device(&mut header, major, minor)?;
                (EntryType::Char, 0, None)
            }
            Member::Block(major, minor) => {
                set_device(&mut header, major, minor)?;
                (EntryType::Block, 0, None)
            }
        };
        header.set_entry_type(kind);
        header.set_mode(head.mode & 0o7777);
        if !set_path(&mut header, &path) {
            record(&mut records, "path", &path);
        }
        if let (Some(link), Some(ustar)) = (link, header.as_ustar_mut()) {
            if !fill(&mut ustar.linkname, link) {
                record(&mut records, "linkpath", link);
            }
        }
        let mut number = |name, value: u64, fits: bool| {
            if fits {
                value
            } else {
                record(&mut records, name, value.to_string().as_bytes());
                0
            }
        };
        header.set_size(number("size", size, size <= MAX_LONG));
        header.set_uid(number("uid", head.uid.into(), head.uid <= MAX_SHORT));
        header.set_gid(number("gid", head.gid.into(), head.gid <= MAX_SHORT));
        match u64::try_from(head.mtime) {
            Ok(mtime) if mtime <= MAX_LONG => header.set_mtime(mtime),
            _ => {
                header.set_mtime(0);
                record(&mut records, "mtime", head.mtime.to_string().as_bytes());
            }
        }
        for (name, value) in head.xattrs {
            let key = [b"SCHILY.xattr.", name.to_bytes()].concat();
            record(&mut records, &String::from_utf8_lossy(&key), value);
        }
        if !records.is_empty() {
            self.pax(&records)?;
        }
        header.set_cksum();
        self.to.write_all(header.as_bytes())
    }

    /// Writes `size` bytes of `from` as the contents of the file whose header was just written. A
    /// file that has become shorter meanwhile is filled up with zeros, one that grew is cut.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub fn contents(&mut self, from: &mut impl Read, size: u64) -> io::Result<()> {
        let copied = io::copy(&mut from.take(size), &mut self.to)?;
        self.zeros(size - copied + size.wrapping_neg() % BLOCK)
    }

    /// Ends the tar, and gives back what it was written to.
    ///
    /// # Errors
    /// Those of writing.
    pub fn finish(mut self) -> io::Result<W> {
        self.zeros(2 * BLOCK)?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(count), &mut self.to).map(drop)
    }

    fn pax(&mut self, records: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        set_path(&mut header, b"PaxHeaders/entry");
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(records.len() as u64);
        header.set_cksum();
        self.to.write_all(header.as_bytes())?;
        self.contents(&mut &*records, records.len() as u64)
    }
}

fn set_device(header: &mut Header, major: u32, minor: u32) -> io::Result<()> {
    header.set_device_major(major)?;
    header.set_device_minor(minor)
}

/// Puts a path into the header, whole or as prefix and name. `false`: it has no room, and holds as
/// much of the end as there is, for readers that do not know pax.
fn set_path(header: &mut Header, path: &[u8]) -> bool {
    let Some(ustar) = header.as_ustar_mut() else {
        return false;
    };
    if fill(&mut ustar.name, path) {
        return true;
    }
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    for (at, _) in slashes {
        let (prefix, name) = path.split_at(at);
        let name = name.strip_prefix(b"/").unwrap_or(name);
        let fits = (1..=ustar.prefix.len()).contains(&prefix.len())
            && (1..=ustar.name.len()).contains(&name.len());
        if fits {
            return fill(&mut ustar.prefix, prefix) && fill(&mut ustar.name, name);
        }
    }
    let end = path.len().saturating_sub(ustar.name.len());
    fill(&mut ustar.name, path.get(end..).unwrap_or_default());
    false
}

/// Fills a field, zeros behind. `false`: the text was too long, and is not whole.
fn fill(field: &mut [u8], text: &[u8]) -> bool {
    field.fill(0);
    for (place, byte) in field.iter_mut().zip(text) {
        *place = *byte;
    }
    text.len() <= field.len()
}

/// Adds `LENGTH KEY=VALUE\n`, in which the length counts its own figures.
fn record(to: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    to.extend_from_slice(format!("{length} {key}=").as_bytes());
    to.extend_from_slice(value);
    to.push(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::image::layer::{Kind, TarReader};

    fn written(head: &Head<'_>, data: &[u8]) -> Vec<u8> {
        let mut tar = TarWriter::new(Vec::new());
        tar.head(head).unwrap();
        if let Member::File(size) = head.member {
            tar.contents(&mut &*data, size).unwrap();
        }
        tar.finish().unwrap()
    }

    fn head<'a>(path: &'a [u8], member: Member<'a>) -> Head<'a> {
        Head {
            path,
            member,
            mode: 0o4755,
            uid: 0,
            gid: 0,
            mtime: 1_700_000_000,
            xattrs: &[],
        }
    }

    #[test]
    fn what_fits_takes_one_header() {
        let tar = written(&head(b"etc/passwd", Member::File(3)), b"abc");
        assert_eq!(tar.len(), 512 + 512 + 1024);
        let long = [[b'a'; 99].as_slice(), &[b'b'; 99]].join(&b'/');
        assert_eq!(written(&head(&long, Member::Folder), b"").len(), 512 + 1024);
    }

    #[test]
    fn a_file_that_shrinks_meanwhile_is_filled_up() {
        let tar = written(&head(b"log", Member::File(10)), b"short");
        let mut reader = TarReader::new(tar.as_slice());
        reader.next_entry().unwrap().unwrap();
        let mut data = Vec::new();
        reader.read_to_end(&mut data).unwrap();
        assert_eq!(data, b"short\0\0\0\0\0");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            names in prop::collection::vec("[a-z.ü ]{1,60}", 1..8),
            target in "[ -~]{1,200}",
            ids in any::<(u32, u32)>(),
            mtime in any::<i32>(),
            value in prop::collection::vec(any::<u8>(), 0..600),
            size in 0_u64..2000,
        ) {
            prop_assume!(names.iter().all(|name| name != "." && name != ".."));
            let path = names.join("/");
            let xattrs = [(c"user.note".to_owned(), value)];
            let data = vec![7; usize::try_from(size).unwrap()];
            let (uid, gid) = (ids.0.min(u32::MAX - 1), ids.1.min(u32::MAX - 1));
            let target = target.as_bytes();
            for (member, kind, length) in [
                (Member::File(size), Kind::File, data.len()),
                (Member::Symbolic(target), Kind::Symbolic(target.to_vec()), 0),
            ] {
                let head = Head {
                    path: path.as_bytes(), member, mode: 0o640, uid, gid, mtime: mtime.into(),
                    xattrs: &xattrs,
                };
                let tar = written(&head, &data);
                prop_assert_eq!(tar.len() % 512, 0);
                let mut reader = TarReader::new(tar.as_slice());
                let entry = reader.next_entry().unwrap().unwrap();
                prop_assert_eq!(entry.path.to_bytes(), path.as_bytes());
                prop_assert_eq!((entry.uid, entry.gid, entry.mode), (uid, gid, 0o640));
                prop_assert_eq!(entry.mtime, (i64::from(mtime), 0));
                prop_assert_eq!(&entry.xattrs, &xattrs);
                prop_assert_eq!(entry.kind, kind);
                let mut read = Vec::new();
                reader.read_to_end(&mut read).unwrap();
                prop_assert_eq!(read.len(), length);
                prop_assert!(reader.next_entry().unwrap().is_none());
            }
        }
    }
}
