//! The folder that keeps what was fetched: files by their digest, indexes with their signatures,
//! unpacked kernels.
//!
//! ```text
//! lock                                  held while anything is changed
//! index/SUITE/InRelease                 the signed index as it was fetched
//! index/SUITE/ARCH.json                 the kernel packages in it
//! blobs/sha256/DIGEST                   packages and package lists
//! partial/DIGEST                        what is being fetched, or broke off
//! kernels/RELEASE_VERSION/              an unpacked kernel, described by kernel.json
//! ```
//!
//! Everything but `partial` appears by a rename, so what is there is whole.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

/// The cache's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    root: PathBuf,
}

/// Why the cache can't be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "can't {action} {path} in the cache; choose another folder with `--cache DIR`, or make room"
)]
pub struct CacheError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The right to change the cache; given back when dropped or when the process ends.
#[derive(Debug)]
pub struct CacheLock(#[expect(dead_code, reason = "held for its drop")] Flock<File>);

impl Cache {
    /// The cache in this folder, which is made when something is written.
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The user's cache: `SEAWORTHY_CACHE`, else `seaworthy` in the XDG cache folder.
    pub fn default_root(variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
        let folder = |name: &str| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        folder("SEAWORTHY_CACHE")
            .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("seaworthy")))
            .or_else(|| Some(folder("HOME")?.join(".cache/seaworthy")))
            .unwrap_or_else(|| PathBuf::from("/var/cache/seaworthy"))
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn index_dir(&self, suite: &str) -> PathBuf {
        self.root.join("index").join(suite)
    }

    pub(crate) fn blob(&self, sha256: &str) -> PathBuf {
        self.root.join("blobs/sha256").join(sha256)
    }

    pub(crate) fn partial(&self, sha256: &str) -> PathBuf {
        self.root.join("partial").join(sha256)
    }

    pub(crate) fn kernels(&self) -> PathBuf {
        self.root.join("kernels")
    }

    /// Takes the lock; `waiting` is called first where another process has it.
    pub(crate) fn lock(&self, waiting: impl FnOnce()) -> Result<CacheLock, CacheError> {
        let path = self.root.join("lock");
        let failed = |source: io::Error| CacheError {
            action: "lock",
            path: path.clone(),
            source,
        };
        let open = || {
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
        };
        self.make_parent(&path)?;
        let file = match Flock::lock(open().map_err(failed)?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(CacheLock(lock)),
            Err((file, nix::Error::EWOULDBLOCK)) => file,
            Err((_, error)) => return Err(failed(error.into())),
        };
        waiting();
        match Flock::lock(file, FlockArg::LockExclusive) {
            Ok(lock) => Ok(CacheLock(lock)),
            Err((_, error)) => Err(failed(error.into())),
        }
    }

    pub(crate) fn make_parent(&self, path: &Path) -> Result<(), CacheError> {
        let parent = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(parent).map_err(|source| CacheError {
            action: "make the folder",
            path: parent.to_owned(),
            source,
        })
    }

    /// Writes a whole file: under another name, to the disk, then renamed.
    pub(crate) fn write(&self, path: &Path, content: &[u8]) -> Result<(), CacheError> {
        self.make_parent(path)?;
        let parent = path.parent().unwrap_or(&self.root);
        let write = || -> io::Result<()> {
            // As wide as the umask allows: a cache may be shared.
            let mode = fs::Permissions::from_mode(0o666);
            let mut file = tempfile::Builder::new()
                .permissions(mode)
                .tempfile_in(parent)?;
            file.write_all(content)?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|e| e.error)?;
            File::open(parent)?.sync_all()
        };
        write().map_err(|source| CacheError {
            action: "write",
            path: path.to_owned(),
            source,
        })
    }

    /// A file's content of at most `limit` bytes; none where there is no such file.
    pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, CacheError> {
        let failed = |source| CacheError {
            action: "read",
            path: path.to_owned(),
            source,
        };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut content = Vec::new();
        file.take(limit).read_to_end(&mut content).map_err(failed)?;
        Ok(Some(content))
    }
}

impl CacheError {
    pub(crate) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// The SHA-256 of all that a reader gives, in hexadecimal, and its length.
pub(crate) fn digest_of(mut reader: impl Read) -> io::Result<(String, u64)> {
    let mut hash = Sha256::new();
    let length = io::copy(&mut reader, &mut hash)?;
    Ok((hexadecimal(hash), length))
}

pub(crate) fn hexadecimal(hash: Sha256) -> String {
    hash.finalize()
        .iter()
        .fold(String::new(), |mut text, byte| {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
            }
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_the_environment_says() {
        let root = |set: &[(&str, &str)]| {
            let set: Vec<(String, OsString)> = set
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).into()))
                .collect();
            Cache::default_root(|name| set.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
        };
        assert_eq!(
            root(&[("SEAWORTHY_CACHE", "/a"), ("HOME", "/h")]),
            Path::new("/a")
        );
        assert_eq!(
            root(&[
                ("SEAWORTHY_CACHE", ""),
                ("XDG_CACHE_HOME", "/x"),
                ("HOME", "/h")
            ]),
            Path::new("/x/seaworthy")
        );
        assert_eq!(root(&[("HOME", "/h")]), Path::new("/h/.cache/seaworthy"));
    }

    #[test]
    fn a_second_holder_is_told_to_wait_and_then_served() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(&dir.path().join("new"));
        let first = cache.lock(|| panic!("nobody else is here")).unwrap();
        let (told, wait) = std::sync::mpsc::channel();
        let second = {
            let cache = cache.clone();
            std::thread::spawn(move || cache.lock(|| told.send(()).unwrap()).is_ok())
        };
        wait.recv().unwrap();
        drop(first);
        assert!(second.join().unwrap());
    }
}
