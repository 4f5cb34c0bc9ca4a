//! Making a user namespace, with the caller as its root.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;

use nix::fcntl::OFlag;
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{dup2_stderr, getegid, geteuid, pipe2};

use super::Error;
use super::id_map::{IdMap, Mapping};
use crate::sys::clone::{Request, Side, clone, exit_now};
use crate::sys::program::{StringArray, execute};
use crate::sys::signals;

/// Moves this process into a new user namespace with these ids, as its root, and into a mount
/// namespace of its own. The process must have one thread.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::Map`].
pub fn make(map: &IdMap) -> Result<(), Error> {
    match map {
        IdMap::Single => {
            let (uid, gid) = (geteuid(), getegid());
            enter_new()?;
            // Without this the kernel lets no user write a map of groups (CVE-2014-8989).
            write_if_there("setgroups", "deny")?;
            write("uid_map", &format!("0 {uid} 1\n"))?;
            write("gid_map", &format!("0 {gid} 1\n"))?;
        }
        IdMap::Ranges { uid, gid } => {
            // They must be in the namespace that the ids are of, so they start before we leave it.
            let helpers = [Helper::start(uid)?, Helper::start(gid)?];
            enter_new()?;
            helpers.into_iter().try_for_each(Helper::finish)?;
        }
    }
    own_mounts()
}

fn enter_new() -> Result<(), Error> {
    unshare(CloneFlags::CLONE_NEWUSER).map_err(Error::forbidden)
}

/// A mount namespace that follows the host's and changes nothing there. Also what shows whether
/// the root of this namespace has any rights at all: AppArmor may take them.
pub(super) fn own_mounts() -> Result<(), Error> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(Error::forbidden)?;
    let none = None::<&str>;
    let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(none, "/", none, flags, none).map_err(Error::forbidden)
}

fn write(file: &str, text: &str) -> Result<(), Error> {
    let path = format!("/proc/self/{file}");
    fs::write(&path, text).map_err(Error::io("write", path))
}

/// Before Linux 3.19 there is no such file, and no need for it.
fn write_if_there(file: &str, text: &str) -> Result<(), Error> {
    match write(file, text) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// A child that waits for us to be in the new namespace, and then maps our ids.
struct Helper {
    shown: String,
    pid: u32,
    go: File,
    said: File,
}

impl Helper {
    fn start(mapping: &Mapping) -> Result<Self, Error> {
        let shown = mapping.program.display().to_string();
        let failed = |error: io::Error| Error::Map {
            why: format!("{shown}: {error}"),
        };
        let ids = mapping
            .ranges
            .iter()
            .flat_map(|range| [range.inside, range.host, range.count]);
        let args = std::iter::once(std::process::id()).chain(ids);
        let args = args.map(|number| number.to_string().into_bytes());
        let name = mapping.program.as_os_str().as_bytes().to_vec();
        let strings: Result<Vec<CString>, _> = std::iter::once(name.clone())
            .chain(args)
            .map(CString::new)
            .collect();
        let args = StringArray::new(strings.map_err(|error| failed(error.into()))?);
        let program = CString::new(name).map_err(|error| failed(error.into()))?;
        // It is set-user-id: it gets nothing from our environment.
        let env = StringArray::new(Vec::new());
        let pipe = || {
            let ends = pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed(errno.into()));
            ends.map(|(from, to)| (File::from(from), File::from(to)))
        };
        let ((mut wait, go), (said, say)) = (pipe()?, pipe()?);
        match clone(Request::default()) {
            Ok(Side::Child) => {
                drop(go);
                let mut word = [0];
                if !matches!(wait.read(&mut word), Ok(1)) || dup2_stderr(&say).is_err() {
                    exit_now(1);
                }
                execute(&program, &args, &env);
                exit_now(127)
            }
            Ok(Side::Parent { pid, .. }) => Ok(Self {
                shown,
                pid,
                go,
                said,
            }),
            Err(errno) => Err(failed(errno.into())),
        }
    }

    fn finish(mut self) -> Result<(), Error> {
        // One that was killed says so by its end.
        let _told = self.go.write(b"!");
        drop(self.go);
        let mut said = String::new();
        let _heard = self.said.read_to_string(&mut said);
        let ended = signals::reap(i32::try_from(self.pid).unwrap_or_default());
        let fine = |status| libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
        if ended.is_ok_and(|ended| fine(ended.status)) {
            return Ok(());
        }
        Err(Error::Map {
            why: format!(
                "{} failed ({}); see that it is set-user-id root and may be so here, and that the \
                 ranges in /etc/subuid and /etc/subgid are this user's and nobody else's",
                self.shown,
                said.trim()
            ),
        })
    }
}
