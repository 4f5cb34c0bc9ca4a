//! Scenes for tests of storage and images: a root folder on a file system that the driver likes,
//! mounts that nobody else sees and that end with the test's thread, and pictures of trees.
#![allow(
    dead_code,
    clippy::indexing_slicing,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "each test program uses a part of it, and a failure here is a failed test"
)]

mod btrfs;
pub mod sample;

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use keel::image::store::Store;
use keel::storage::{DriverName, Storage};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// A root folder for keel.
pub struct Scene {
    folder: tempfile::TempDir,
    pub root: PathBuf,
    pub driver: DriverName,
}

impl Scene {
    /// Everything is mounted in a mount namespace of the calling thread.
    pub fn new(driver: DriverName) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test mounts file systems: run it as root"
        );
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace for the test");
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        if driver == DriverName::Btrfs {
            btrfs::mount_new(&folder.path().join("disk"), &root);
        }
        Self {
            folder,
            root,
            driver,
        }
    }

    pub fn storage(&self) -> Storage {
        Storage::open(&self.root, Some(self.driver)).unwrap()
    }

    pub fn store(&self) -> Store {
        Store::open(&self.root, Some(self.driver)).unwrap()
    }

    /// A folder beside the root folder.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Fails if the store holds anything: an image, a layer, or unfinished work.
    pub fn assert_nothing_stored(&self) {
        for folder in [
            "images/ids".to_owned(),
            "images/names".to_owned(),
            "images/staging".to_owned(),
            format!("storage/{}/layers", self.driver),
            format!("storage/{}/staging", self.driver),
        ] {
            let left: Vec<_> = fs::read_dir(self.root.join(&folder))
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            assert!(left.is_empty(), "left in {folder}: {left:?}");
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // The folder can be removed only when nothing is mounted in it.
        if self.driver == DriverName::Btrfs {
            nix::mount::umount2(&self.root, nix::mount::MntFlags::MNT_DETACH).ok();
        }
    }
}

/// All that a tree shows, a line a path.
#[derive(Debug, PartialEq, Eq)]
pub struct Picture(pub Vec<String>);

/// Takes a picture of the tree at `root`. Times of folders in `restless` are left out.
pub fn picture(root: &Path, restless: &[&str]) -> Picture {
    let mut lines = Vec::new();
    let mut groups = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    let mut paths = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
            paths.push(entry.path());
        }
    }
    paths.sort();
    for path in paths {
        let stat = fs::symlink_metadata(&path).unwrap();
        let shown = Path::new("/").join(path.strip_prefix(root).unwrap());
        let shown = shown.display().to_string();
        let kind = stat.file_type();
        let what = if kind.is_symlink() {
            format!("-> {}", fs::read_link(&path).unwrap().display())
        } else if kind.is_file() {
            let contents = fs::read(&path).unwrap();
            let digest = keel::image::digest::Digest::of(&contents);
            format!("{} bytes {}", contents.len(), digest.short())
        } else if kind.is_fifo() {
            "fifo".to_owned()
        } else if kind.is_dir() {
            "folder".to_owned()
        } else {
            format!("special {:x}", stat.rdev())
        };
        // Hard links: the first path of the same file.
        let first = groups
            .entry((stat.dev(), stat.ino()))
            .or_insert_with(|| shown.clone());
        let same_as = if kind.is_file() { first.as_str() } else { "" };
        let time = if restless.contains(&shown.as_str()) {
            String::new()
        } else {
            format!("{}.{}", stat.mtime(), stat.mtime_nsec())
        };
        lines.push(format!(
            "{shown} {what} {:o} {}:{} {time} {same_as} {:?}",
            stat.permissions().mode(),
            stat.uid(),
            stat.gid(),
            xattrs(&path)
        ));
    }
    Picture(lines)
}

fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let folder = fs::File::open(path.parent().unwrap()).unwrap();
    let name = path.file_name().unwrap();
    keel::sys::xattr::list_at(folder.as_fd(), name)
        .unwrap()
        .into_iter()
        .filter(|attribute| !attribute.to_bytes().starts_with(b"trusted."))
        .map(|attribute| {
            let value = keel::sys::xattr::get_at(folder.as_fd(), name, &attribute)
                .unwrap()
                .unwrap();
            (attribute.to_string_lossy().into_owned(), value)
        })
        .collect()
}

/// One entry of a tar that is built byte by byte, so that it can be wrong.
pub struct Entry {
    pub name: Vec<u8>,
    pub kind: u8,
    pub link: Vec<u8>,
    pub mode: u32,
    pub uid: u64,
    pub mtime: u64,
    pub data: Vec<u8>,
    /// If it is to differ from the data's length.
    pub size: Option<u64>,
    /// Records of a pax header in front.
    pub pax: Vec<(String, Vec<u8>)>,
}

pub fn entry(kind: u8, name: impl AsRef<[u8]>) -> Entry {
    Entry {
        name: name.as_ref().to_vec(),
        kind,
        link: Vec::new(),
        mode: if kind == b'5' { 0o755 } else { 0o644 },
        uid: 0,
        mtime: 1_000_000_000,
        data: Vec::new(),
        size: None,
        pax: Vec::new(),
    }
}

pub fn file(name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Entry {
    Entry {
        data: data.as_ref().to_vec(),
        ..entry(b'0', name)
    }
}

pub fn folder(name: impl AsRef<[u8]>) -> Entry {
    entry(b'5', name)
}

pub fn link(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Entry {
    Entry {
        link: target.as_ref().to_vec(),
        ..entry(b'2', name)
    }
}

pub fn hard_link(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Entry {
    Entry {
        link: target.as_ref().to_vec(),
        ..entry(b'1', name)
    }
}

impl Entry {
    pub fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax.push((key.to_owned(), value.as_ref().to_vec()));
        self
    }

    fn write(&self, out: &mut Vec<u8>) {
        if !self.pax.is_empty() {
            let data: Vec<u8> = self
                .pax
                .iter()
                .flat_map(|(key, value)| pax_record(key, value))
                .collect();
            Entry {
                data,
                ..entry(b'x', "pax")
            }
            .write(out);
        }
        for (kind, text) in [(b'L', &self.name), (b'K', &self.link)] {
            if text.len() > 100 {
                let data = [text.as_slice(), b"\0"].concat();
                Entry {
                    data,
                    ..entry(kind, "././@LongLink")
                }
                .write(out);
            }
        }
        let mut header = tar::Header::new_ustar();
        let old = header.as_old_mut();
        for (slot, byte) in old.name.iter_mut().zip(&self.name) {
            *slot = *byte;
        }
        for (slot, byte) in old.linkname.iter_mut().zip(&self.link) {
            *slot = *byte;
        }
        old.linkflag = [self.kind];
        header.set_mode(self.mode);
        header.set_uid(self.uid);
        header.set_gid(0);
        header.set_mtime(self.mtime);
        header.set_size(self.size.unwrap_or(self.data.len() as u64));
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(&self.data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
}

fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

pub fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        entry.write(&mut out);
    }
    out.resize(out.len() + 1024, 0);
    out
}

pub fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}
