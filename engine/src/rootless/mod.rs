//! Keel for users who are not root.
//!
//! The process moves into a user namespace, in which it is root, and a mount namespace of its own;
//! everything else is then done as for root, with what the kernel lets such a root do. All
//! processes of one root folder share one namespace, as the rights over a container are in the
//! namespace that it runs in; the kernel tells who is in it already (decision 0097).
//!
//! In the order of the flow: [`default_root`] (whose folder) → [`enter`] → `meeting` (is there a
//! namespace to join?) → `ranges` (which ids the user may use) → `make` (a new one) → [`id_map()`]
//! (what it came to).

mod error;
mod home;
mod id_map;
mod join;
mod make;
mod meeting;
mod ranges;

use std::path::Path;

use nix::unistd::geteuid;

pub use error::Error;
pub use home::{default_root, default_runtime_root};
pub use id_map::{IdMap, IdRange, Mapping, host_uid, id_map};
pub use join::join;
pub use make::make;
pub use meeting::stay;

/// Enters the user namespace of the root folder `root`, unless this process is root already.
///
/// `others` gives processes that may be in it though no keel is: those of running containers. The
/// process must have one thread.
///
/// # Errors
/// [`Error`], with the setting of the kernel that forbids it.
pub fn enter(root: &Path, others: impl FnOnce() -> Vec<u32>) -> Result<(), Error> {
    if geteuid().is_root() {
        return Ok(());
    }
    let meeting = meeting::Meeting::open(root)?;
    if !join_one(meeting.member().into_iter().chain(others()))? {
        make(&IdMap::of_caller())?;
    }
    meeting.attend()
}

/// Joins the first that can be joined. Others have ended meanwhile, or are somebody else's.
fn join_one(candidates: impl IntoIterator<Item = u32>) -> Result<bool, Error> {
    for pid in candidates {
        match join(pid) {
            Ok(()) => return Ok(true),
            Err(Error::Io { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
