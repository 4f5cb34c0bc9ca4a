//! One layer: a tar file whose every header can be chosen.

use std::io;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

/// A layer's tar file.
#[derive(Debug, Clone)]
pub(in crate::suite) struct Layer {
    /// The bytes, uncompressed.
    pub(in crate::suite) tar: Arc<[u8]>,
    /// `sha256:` and their digest.
    pub(in crate::suite) diff_id: String,
}

/// One entry of a layer. Its path and link go into the header as they are, `..` and all.
#[derive(Debug, Clone)]
pub(in crate::suite) struct Entry {
    path: String,
    kind: EntryType,
    mode: u32,
    owner: (u64, u64),
    mtime: u64,
    link: String,
    data: Vec<u8>,
    xattrs: Vec<(String, Vec<u8>)>,
    device: (u32, u32),
}

/// How many bytes of a name a header takes.
const NAME: usize = 100;

/// The time of every entry that names no other: 2020-09-13, seconds since 1970.
const MTIME: u64 = 1_600_000_000;

impl Entry {
    fn new(path: &str, kind: EntryType, mode: u32) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            mode,
            owner: (0, 0),
            mtime: MTIME,
            link: String::new(),
            data: Vec::new(),
            xattrs: Vec::new(),
            device: (0, 0),
        }
    }

    /// A file, 0644.
    pub(in crate::suite) fn file(path: &str, data: impl Into<Vec<u8>>) -> Self {
        Self {
            data: data.into(),
            ..Self::new(path, EntryType::Regular, 0o644)
        }
    }

    /// A folder, 0755.
    pub(in crate::suite) fn folder(path: &str) -> Self {
        Self::new(path, EntryType::Directory, 0o755)
    }

    /// A symbolic link.
    pub(in crate::suite) fn symlink(path: &str, target: &str) -> Self {
        Self {
            link: target.to_owned(),
            ..Self::new(path, EntryType::Symlink, 0o777)
        }
    }

    /// A hard link to an entry before it, or to a file of a lower layer.
    pub(in crate::suite) fn hard_link(path: &str, target: &str) -> Self {
        Self {
            link: target.to_owned(),
            ..Self::new(path, EntryType::Link, 0o644)
        }
    }

    /// What removes `path` from the layers below (image-spec, layer.md, "Whiteouts").
    pub(in crate::suite) fn whiteout(path: &str) -> Self {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        Self::file(&format!("{folder}/.wh.{name}"), "")
    }

    /// What hides everything that the layers below have in `folder` ("Opaque Whiteout").
    pub(in crate::suite) fn opaque(folder: &str) -> Self {
        Self::file(&format!("{folder}/.wh..wh..opq"), "")
    }

    /// Other permissions.
    pub(in crate::suite) fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Another owner and group.
    pub(in crate::suite) fn owner(mut self, uid: u64, gid: u64) -> Self {
        self.owner = (uid, gid);
        self
    }

    /// Another time, in seconds since 1970.
    pub(in crate::suite) fn mtime(mut self, mtime: u64) -> Self {
        self.mtime = mtime;
        self
    }

    /// An extended attribute, as a PAX record `SCHILY.xattr.NAME`.
    pub(in crate::suite) fn xattr(mut self, name: &str, value: &[u8]) -> Self {
        self.xattrs
            .push((format!("SCHILY.xattr.{name}"), value.to_vec()));
        self
    }

    fn header(&self) -> io::Result<Header> {
        let mut header = Header::new_ustar();
        fill(&mut header.as_old_mut().name, &self.path);
        fill(&mut header.as_old_mut().linkname, &self.link);
        header.set_entry_type(self.kind);
        header.set_mode(self.mode);
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        header.set_mtime(self.mtime);
        header.set_size(self.data.len() as u64);
        header.set_device_major(self.device.0)?;
        header.set_device_minor(self.device.1)?;
        header.set_cksum();
        Ok(header)
    }

    /// What its header has no place for.
    fn records(&self) -> Vec<(&str, &[u8])> {
        let names = [("path", &self.path), ("linkpath", &self.link)];
        let names = names.into_iter().filter(|(_, name)| name.len() > NAME);
        let names = names.map(|(record, name)| (record, name.as_bytes()));
        let xattrs = self.xattrs.iter();
        let xattrs = xattrs.map(|(name, value)| (name.as_str(), value.as_slice()));
        names.chain(xattrs).collect()
    }
}

/// Writes as much of `name` as the field takes.
fn fill(field: &mut [u8; NAME], name: &str) {
    for (to, from) in field.iter_mut().zip(name.bytes()) {
        *to = from;
    }
}

impl Layer {
    /// The layer of these entries, in this order.
    pub(in crate::suite) fn new(entries: &[Entry]) -> io::Result<Self> {
        let mut tar = tar::Builder::new(Vec::new());
        for entry in entries {
            let records = entry.records();
            if !records.is_empty() {
                tar.append_pax_extensions(records)?;
            }
            tar.append(&entry.header()?, entry.data.as_slice())?;
        }
        Ok(Self::from_bytes(tar.into_inner()?))
    }

    /// The layer of these bytes, whatever they are.
    pub(in crate::suite) fn from_bytes(bytes: Vec<u8>) -> Self {
        let diff_id = digest(&bytes);
        Self {
            tar: bytes.into(),
            diff_id,
        }
    }
}

/// `sha256:` and the digest of `bytes`.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_header_has_no_place_for_are_not_cut() {
        let long = format!("{}/x", "../".repeat(60));
        let entries = [
            Entry::file(&long, "x"),
            Entry::symlink("short", &long),
            Entry::hard_link(&long, "short"),
        ];
        let layer = Layer::new(&entries).unwrap();
        let mut archive = tar::Archive::new(&layer.tar[..]);
        let read = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let link = entry.link_name_bytes().unwrap_or_default().into_owned();
            (entry.path_bytes().into_owned(), link)
        });
        let read: Vec<_> = read.collect();
        let expected = [(&*long, ""), ("short", &*long), (&*long, "short")];
        let expected = expected.map(|(path, link)| (path.into(), link.into()));
        assert_eq!(read, expected);
    }
}
