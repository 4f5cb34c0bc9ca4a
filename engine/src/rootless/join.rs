//! Joining a user namespace that there is already.

use std::fs::File;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

use super::Error;
use super::make::own_mounts;

/// Moves this process into the user namespace of another one, and into a mount namespace of its
/// own. The process must have one thread.
///
/// # Errors
/// [`Error::Io`] when the other is gone, or in no namespace of this user; [`Error::Forbidden`].
pub fn join(pid: u32) -> Result<(), Error> {
    let path = format!("/proc/{pid}/ns/user");
    let namespace = File::open(&path).map_err(Error::io("open", &path))?;
    // EINVAL: it is the one that we are in.
    setns(&namespace, CloneFlags::CLONE_NEWUSER)
        .map_err(|errno: Errno| Error::io("join the user namespace", &path)(errno))?;
    own_mounts()
}
