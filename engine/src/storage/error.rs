//! What can go wrong in storage.

use std::io;
use std::path::PathBuf;

use crate::image::digest::ChainId;
use crate::storage::DriverName;

/// Why a storage operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A system call on a file failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb: `create`, `mount`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The machine lacks what the driver needs.
    #[error(
        "storage driver `{driver}` cannot be used: requirement `{requirement}` is absent: {why}; {remedy}"
    )]
    Unfit {
        /// The driver.
        driver: DriverName,
        /// The id of the requirement, such as `kernel.storage.overlay`.
        requirement: &'static str,
        /// What was seen.
        why: String,
        /// What to do.
        remedy: &'static str,
    },
    /// No driver has this name.
    #[error("unknown storage driver `{0}`: use `overlay`, `btrfs`, `aufs` or `vfs`")]
    UnknownDriver(String),
    /// A container's tree cannot have this name.
    #[error(
        "`{0}` cannot name a container's folder: use letters, figures, `_`, `.` and `-`, at most 255, starting with a letter or figure"
    )]
    TreeName(String),
    /// The container has a tree already.
    #[error("container `{0}` already has a tree: remove the container first")]
    Exists(String),
    /// A layer that should lie below is not there.
    #[error(
        "layer {0} is not in the store of this storage driver: use the one that the image was loaded with, or load it again"
    )]
    NoLayer(ChainId),
    /// The folders are nested deeper than is walked.
    #[error("folders below `{}` are nested deeper than {limit} levels", path.display())]
    TooDeep {
        /// Where.
        path: PathBuf,
        /// The deepest level.
        limit: usize,
    },
    /// Whoever filled the layer gave up.
    #[error("the layer was not stored")]
    Fill(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StorageError {
    /// For `map_err`: the action and path around what the kernel said.
    pub(super) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source: source.into(),
        }
    }
}
