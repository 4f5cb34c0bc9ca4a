//! Paths as the container will see them, resolved from outside without ever leaving its root.
//!
//! `openat2(RESOLVE_IN_ROOT)` (Linux 5.6) does it in one call. Older kernels, and paths of which
//! parts must be made, are walked component by component with `O_NOFOLLOW`, keeping a descriptor of
//! every folder on the way, so that `..` goes where we came from and not where a rename points to.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat};

use crate::runtime::plan::Create;
use crate::sys::open::{Links, open_in_root, read_link};

/// As many links as the kernel follows.
const MAX_LINKS: u32 = 40;
/// Folders below the root that a path may pass through.
const MAX_DEPTH: usize = 128;

/// The root of a container's file system.
#[derive(Debug)]
pub(super) struct Inside {
    root: OwnedFd,
}

impl Inside {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens what `path` names, as an `O_PATH` descriptor.
    ///
    /// # Errors
    /// `ENOENT`; `ELOOP` for a link where links are refused.
    pub(super) fn find(&self, path: &CStr, links: Links) -> Result<OwnedFd, Errno> {
        // Renames by others can make the kernel give up with EAGAIN; a few tries are its advice.
        for _ in 0..8 {
            match open_in_root(self.root(), path, OFlag::O_PATH, links) {
                Err(Errno::EAGAIN) => {}
                Err(Errno::ENOSYS | Errno::EPERM) => break,
                other => return other,
            }
        }
        self.walk(path, links, None)
    }

    /// As [`Inside::find`], making folders (and, at the end, what `create` says) where nothing is.
    pub(super) fn find_or_make(
        &self,
        path: &CStr,
        links: Links,
        create: Create,
    ) -> Result<OwnedFd, Errno> {
        match self.find(path, links) {
            Err(Errno::ENOENT) => self.walk(path, links, Some(create)),
            other => other,
        }
    }

    fn walk(&self, path: &CStr, links: Links, create: Option<Create>) -> Result<OwnedFd, Errno> {
        let mut pending = Pending::new(path.to_bytes())?;
        let mut passed = Passed::new();
        let mut followed = 0;
        while let Some(name) = pending.next()? {
            match name.as_bytes() {
                b"." => continue,
                b".." => {
                    passed.pop();
                    continue;
                }
                _ => {}
            }
            let here = passed.last().unwrap_or(self.root());
            let last = pending.is_empty();
            let found = match open_one(here, name.as_c_str()?) {
                Err(Errno::ENOENT) => match create {
                    Some(create) => make(
                        here,
                        name.as_c_str()?,
                        if last { create } else { Create::Folder },
                    )?,
                    None => return Err(Errno::ENOENT),
                },
                other => other?,
            };
            match kind(&stat_of(found.as_fd())?) {
                SFlag::S_IFLNK => {
                    followed += 1;
                    if links == Links::Refused || followed > MAX_LINKS {
                        return Err(Errno::ELOOP);
                    }
                    let mut buffer = [0; 4096];
                    let target = read_link(found.as_fd(), &mut buffer)?;
                    if target.first() == Some(&b'/') {
                        passed = Passed::new();
                    }
                    pending.prepend(target)?;
                }
                SFlag::S_IFDIR => passed.push(found)?,
                _ if last => return Ok(found),
                _ => return Err(Errno::ENOTDIR),
            }
        }
        match passed.pop() {
            Some(folder) => Ok(folder),
            None => open_one(self.root(), c"."),
        }
    }
}

/// The file type bits of a file's mode.
pub(super) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

/// What an open file is.
pub(super) fn stat_of(file: BorrowedFd<'_>) -> Result<FileStat, Errno> {
    // fstat on O_PATH descriptors works from 3.6 on; the empty path from 2.6.39.
    fstatat(file, c"", AtFlags::AT_EMPTY_PATH)
}

fn open_one(at: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(at, name, flags, Mode::empty())
}

/// Makes a folder or an empty file; somebody else's having made it meanwhile is fine.
fn make(at: BorrowedFd<'_>, name: &CStr, create: Create) -> Result<OwnedFd, Errno> {
    let made = match create {
        Create::Folder => mkdirat(at, name, Mode::from_bits_truncate(0o755)),
        Create::File => {
            let flags = OFlag::O_CREAT
                | OFlag::O_EXCL
                | OFlag::O_WRONLY
                | OFlag::O_NOFOLLOW
                | OFlag::O_CLOEXEC;
            openat(at, name, flags, Mode::from_bits_truncate(0o644)).map(drop)
        }
    };
    match made {
        Ok(()) | Err(Errno::EEXIST) => open_one(at, name),
        Err(errno) => Err(errno),
    }
}

/// What is still to be walked: kept at the end of a buffer, as link targets come in front of it.
struct Pending {
    buffer: [u8; libc::PATH_MAX as usize],
    start: usize,
}

impl Pending {
    fn new(path: &[u8]) -> Result<Self, Errno> {
        let buffer = [0; libc::PATH_MAX as usize];
        let mut pending = Self {
            start: buffer.len(),
            buffer,
        };
        pending.prepend(path)?;
        Ok(pending)
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.rest().iter().all(|byte| *byte == b'/')
    }

    fn prepend(&mut self, path: &[u8]) -> Result<(), Errno> {
        let start = self
            .start
            .checked_sub(path.len() + 1)
            .ok_or(Errno::ENAMETOOLONG)?;
        let room = self
            .buffer
            .get_mut(start..self.start)
            .ok_or(Errno::ENAMETOOLONG)?;
        let (text, slash) = room.split_at_mut(path.len());
        text.copy_from_slice(path);
        slash.fill(b'/');
        self.start = start;
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Name>, Errno> {
        let skip = self.rest().iter().take_while(|byte| **byte == b'/').count();
        self.start += skip;
        let length = self.rest().iter().take_while(|byte| **byte != b'/').count();
        let name = match self.rest().get(..length) {
            Some(text) if length > 0 => Name::new(text)?,
            _ => return Ok(None),
        };
        self.start += length;
        Ok(Some(name))
    }
}

/// One component of a path.
struct Name {
    buffer: [u8; 256],
    length: usize,
}

impl Name {
    fn new(text: &[u8]) -> Result<Self, Errno> {
        let mut buffer = [0; 256];
        // One byte stays zero.
        let room = buffer.get_mut(..text.len()).filter(|room| room.len() < 256);
        room.ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(text);
        Ok(Self {
            buffer,
            length: text.len(),
        })
    }

    fn as_bytes(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }

    fn as_c_str(&self) -> Result<&CStr, Errno> {
        CStr::from_bytes_until_nul(&self.buffer).map_err(|_| Errno::EINVAL)
    }
}

/// The folders that were passed, from below the root to where we are.
struct Passed {
    folders: [Option<OwnedFd>; MAX_DEPTH],
    depth: usize,
}

impl Passed {
    fn new() -> Self {
        Self {
            folders: [const { None }; MAX_DEPTH],
            depth: 0,
        }
    }

    fn last(&self) -> Option<BorrowedFd<'_>> {
        let index = self.depth.checked_sub(1)?;
        self.folders.get(index)?.as_ref().map(AsFd::as_fd)
    }

    fn push(&mut self, folder: OwnedFd) -> Result<(), Errno> {
        *self
            .folders
            .get_mut(self.depth)
            .ok_or(Errno::ENAMETOOLONG)? = Some(folder);
        self.depth += 1;
        Ok(())
    }

    fn pop(&mut self) -> Option<OwnedFd> {
        self.depth = self.depth.checked_sub(1)?;
        self.folders.get_mut(self.depth)?.take()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn scene() -> (tempfile::TempDir, Inside) {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("a/b")).expect("folders");
        symlink("../../../../etc/passwd", root.join("up")).expect("a link");
        symlink("/a/../../a/b", root.join("absolute")).expect("a link");
        symlink("loop", root.join("loop")).expect("a link");
        symlink("/new/made", root.join("dangling")).expect("a link");
        let inside = Inside::new(fs::File::open(&root).expect("the root").into());
        (folder, inside)
    }

    fn same(inside: &Inside, path: &CStr, host: &std::path::Path) {
        use std::os::unix::fs::MetadataExt;
        let expected = fs::metadata(host).expect("on the host");
        for found in [
            inside.find(path, Links::InRoot),
            inside.walk(path, Links::InRoot, None),
        ] {
            let stat = stat_of(found.expect("found").as_fd()).expect("stat");
            assert_eq!(stat.st_ino, expected.ino());
        }
    }

    #[test]
    fn links_never_lead_out_of_the_root() {
        let (folder, inside) = scene();
        same(&inside, c"absolute", &folder.path().join("root/a/b"));
        same(&inside, c"a/../../../..", &folder.path().join("root"));
        for found in [
            inside.find(c"up", Links::InRoot),
            inside.walk(c"up", Links::InRoot, None),
        ] {
            assert_eq!(found.expect_err("outside"), Errno::ENOENT);
        }
    }

    #[test]
    fn a_cycle_of_links_ends() {
        let (_folder, inside) = scene();
        assert_eq!(
            inside.find(c"loop", Links::InRoot).expect_err("a cycle"),
            Errno::ELOOP
        );
        assert_eq!(
            inside
                .walk(c"loop", Links::InRoot, None)
                .expect_err("a cycle"),
            Errno::ELOOP
        );
    }

    #[test]
    fn refused_links_are_refused_anywhere_in_the_path() {
        let (_folder, inside) = scene();
        for found in [
            inside.find(c"absolute/x", Links::Refused),
            inside.walk(c"absolute/x", Links::Refused, Some(Create::File)),
        ] {
            assert_eq!(found.expect_err("a link"), Errno::ELOOP);
        }
    }

    #[test]
    fn what_is_missing_is_made_inside_even_through_a_dangling_link() {
        let (folder, inside) = scene();
        inside
            .find_or_make(c"dangling/deep/file", Links::InRoot, Create::File)
            .expect("made");
        assert!(folder.path().join("root/new/made/deep/file").is_file());
        assert!(!std::path::Path::new("/new/made").exists());
    }

    #[test]
    fn a_file_is_no_folder_to_pass_through() {
        let (folder, inside) = scene();
        fs::write(folder.path().join("root/file"), "").expect("a file");
        assert_eq!(
            inside
                .walk(c"file/x", Links::InRoot, Some(Create::File))
                .expect_err("a file"),
            Errno::ENOTDIR
        );
    }

    #[test]
    fn a_path_deeper_than_the_limit_is_refused() {
        let (_folder, inside) = scene();
        let deep = std::ffi::CString::new("d/".repeat(MAX_DEPTH + 1)).expect("no zero");
        assert_eq!(
            inside
                .find_or_make(&deep, Links::InRoot, Create::Folder)
                .expect_err("deep"),
            Errno::ENAMETOOLONG
        );
    }
}
