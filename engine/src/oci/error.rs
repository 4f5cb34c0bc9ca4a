//! Why the runtime did not do as asked.

use std::io;
use std::path::{Path, PathBuf};

use super::{ContainerId, Status};
use crate::runtime;

/// Why the runtime did not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No id.
    #[error(
        "{0:?} is no container id; use 1 to 255 letters, digits, `_`, `+`, `-` and `.`, not beginning with `.`"
    )]
    Id(String),
    /// Another container has that id.
    #[error("a container with the id {0} exists; delete it, or choose another id")]
    IdInUse(ContainerId),
    /// No container has that id.
    #[error("no container has the id {0}; `list` shows those that exist")]
    NotFound(ContainerId),
    /// Not possible in what the container is doing.
    #[error("cannot {action} the container {id}, which is {status}; {remedy}")]
    Status {
        /// The verb.
        action: &'static str,
        /// Which container.
        id: ContainerId,
        /// What it is doing.
        status: Status,
        /// What to do first.
        remedy: &'static str,
    },
    /// The bundle contradicts the specification.
    #[error("the bundle {}: {why}", bundle.display())]
    Bundle {
        /// Its folder.
        bundle: PathBuf,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// `config.json` or `process.json` cannot be understood.
    #[error("{} is no configuration of the runtime specification", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// Options that do not fit together, or not to the bundle.
    #[error("{0}")]
    Use(&'static str),
    /// It did not end.
    #[error(
        "the container {0} did not end within 10 s of SIGKILL; see whether it waits for a disk or a network file system"
    )]
    StillAlive(ContainerId),
    /// The container's environment or process.
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    /// The user namespace of a user who is not root.
    #[error(transparent)]
    Rootless(#[from] crate::rootless::Error),
    /// A file or folder.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl From<runtime::cgroup::Error> for Error {
    fn from(error: runtime::cgroup::Error) -> Self {
        Self::Runtime(error.into())
    }
}

impl Error {
    /// For `map_err`.
    pub(super) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Io {
            action,
            path: path.as_ref().to_owned(),
            source: source.into(),
        }
    }
}
