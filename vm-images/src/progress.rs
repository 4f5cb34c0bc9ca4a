//! What a fetch tells whoever watches it.

use std::time::Duration;

/// Something that happened while kernels were fetched. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// The transfer of `file` begins, or goes on at `done` after a break.
    Started {
        /// The file's name.
        file: &'a str,
        /// How much of it is here already.
        done: u64,
        /// How long it is.
        total: u64,
    },
    /// More of `file` has come.
    Advanced {
        /// The file's name.
        file: &'a str,
        /// How much of it is here now.
        done: u64,
    },
    /// The transfer of `file` broke off and is tried again after `pause`.
    Retrying {
        /// The file's name.
        file: &'a str,
        /// What went wrong.
        why: &'a str,
        /// How long is waited.
        pause: Duration,
    },
    /// `file` is here, and its digest is right.
    Finished {
        /// The file's name.
        file: &'a str,
    },
    /// The packages of a kernel are being unpacked.
    Unpacking {
        /// The kernel's release.
        release: &'a str,
    },
    /// Something that the user should know, though it stops nothing.
    Warning(&'a str),
}

/// A watcher. Called from several threads at once, each event whole; must not block for long.
pub trait Progress: Sync {
    /// Takes one event.
    fn event(&self, event: &Event<'_>);
}

/// A watcher that looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn event(&self, _event: &Event<'_>) {}
}
