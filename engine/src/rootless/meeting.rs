//! How processes of one root folder find the user namespace that they share.
//!
//! Each that is in it holds a lock on a file, shared; the kernel tells who holds one (`F_GETLK`,
//! fcntl(2)). So nothing on the disk can be wrong about it, whatever is killed, and no process
//! stays for no other purpose. The locks are the process's own: a child takes its own, and nobody
//! else in the process may open and close the file.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::Error;
use crate::sys::user_namespace::{Users, users};

/// The file, in the root folder. It stays empty.
const FILE: &str = "namespace";

/// The parts of the file that are locked, a byte each.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// Held alone while somebody looks for the namespace, or makes it.
    Door,
    /// Held together by all that are in it.
    Room,
}

/// The file, with the door held.
#[derive(Debug)]
pub(super) struct Meeting {
    file: File,
    path: PathBuf,
}

/// Keeps the file open, and with it the lock, for as long as the process lives.
static KEPT: OnceLock<File> = OnceLock::new();

impl Meeting {
    /// Opens the door, for one at a time. The root folder is made when it is not there.
    pub(super) fn open(root: &Path) -> Result<Self, Error> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(Error::io("create", root))?;
        let path = root.join(FILE);
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        set(&file, Part::Door, libc::F_WRLCK).map_err(Error::io("lock", &path))?;
        Ok(Self { file, path })
    }

    /// A process that is in the namespace.
    pub(super) fn member(&self) -> Option<u32> {
        let mut lock = lock(Part::Room, libc::F_WRLCK);
        fcntl(&self.file, FcntlArg::F_GETLK(&mut lock)).ok()?;
        let held = lock.l_type != short(libc::F_UNLCK);
        // Of a process that is not seen from here (another pid namespace) the number is no use.
        u32::try_from(lock.l_pid)
            .ok()
            .filter(|pid| held && *pid > 0)
    }

    /// This process is in the namespace from now on; the door is open to the next.
    pub(super) fn attend(self) -> Result<(), Error> {
        let Self { file, path } = self;
        set(&file, Part::Room, libc::F_RDLCK)
            .and_then(|()| set(&file, Part::Door, libc::F_UNLCK))
            .map_err(Error::io("lock", path))?;
        // A process enters once, so there is none yet.
        drop(KEPT.set(file));
        Ok(())
    }
}

/// A process that was started in the namespace says so for itself: a monitor, which outlives
/// whoever started it. For root this does nothing.
///
/// # Errors
/// [`Error::Io`].
pub fn stay(root: &Path) -> Result<(), Error> {
    let path = root.join(FILE);
    if users() == Users::Hosts || !path.exists() {
        return Ok(());
    }
    let file = File::options()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    set(&file, Part::Room, libc::F_RDLCK).map_err(Error::io("lock", path))?;
    drop(KEPT.set(file));
    Ok(())
}

/// The constants are numbers, which the structure has as shorts.
#[expect(clippy::cast_possible_truncation, reason = "all are below 3")]
const fn short(constant: libc::c_int) -> libc::c_short {
    constant as libc::c_short
}

fn lock(part: Part, kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: short(kind),
        l_whence: short(libc::SEEK_SET),
        l_start: match part {
            Part::Door => 0,
            Part::Room => 1,
        },
        l_len: 1,
        l_pid: 0,
    }
}

/// Takes or gives up a lock, waiting for it.
fn set(file: &File, part: Part, kind: libc::c_int) -> Result<(), Errno> {
    let lock = lock(part, kind);
    loop {
        match fcntl(file, FcntlArg::F_SETLKW(&lock)) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
