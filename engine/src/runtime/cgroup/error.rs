//! Why a cgroup could not be made, changed or removed.

use std::io;
use std::path::PathBuf;

use crate::runtime::requirement::Missing;

/// Why a cgroup could not be made, changed or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a plain absolute path.
    #[error(
        "{path:?} is no cgroup path; give an absolute path without `.` and `..`, such as /keel/web"
    )]
    Path {
        /// The path in question.
        path: String,
    },
    /// A limit that this version of cgroups does not have, or that makes no sense.
    #[error("the limit {limit} {why}; leave it out or change it")]
    Limit {
        /// In the notation of the runtime specification.
        limit: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The controller is not there.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// Another container's processes are in it.
    #[error("the cgroup {} is in use; stop what runs in it, or choose another id", path.display())]
    InUse {
        /// Its folder.
        path: PathBuf,
    },
    /// It did not come to rest.
    #[error("the cgroup {} is still not {state} after {seconds} s; look for processes in uninterruptible sleep", path.display())]
    Timeout {
        /// Its folder.
        path: PathBuf,
        /// `frozen`, `empty` …
        state: &'static str,
        /// How long we waited.
        seconds: u64,
    },
    /// A device rule that cannot be understood.
    #[error(
        "the device rule {rule:?} is not valid; access is made of r, w and m, the type is a, b or c"
    )]
    Rule {
        /// The rule.
        rule: String,
    },
    /// A file or folder of the hierarchy.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// `write "100" to`, `create`, …
        action: String,
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}
