//! Work with mounts that nobody else sees and that cannot be left behind.

use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::storage::StorageError;

/// Runs `work` on a thread with a mount namespace of its own, which ends with the thread: a
/// killed process leaves no mount.
pub(super) fn in_private_mounts<T: Send>(
    work: impl FnOnce() -> Result<T, StorageError> + Send,
) -> Result<T, StorageError> {
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS)
                .map_err(StorageError::io("make a mount namespace for", "/"))?;
            mount(
                None::<&str>,
                "/",
                None::<&str>,
                MsFlags::MS_REC | MsFlags::MS_PRIVATE,
                None::<&str>,
            )
            .map_err(StorageError::io("make private the mounts of", "/"))?;
            work()
        });
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
