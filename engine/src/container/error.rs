//! Why a container could not be made, started, found or removed.

use std::io;
use std::path::PathBuf;

use super::copy::CopyError;
use super::monitor::Refusal;
use super::name::Name;
use super::options::{LogDriver, Malformed};
use crate::files::{PackError, UnpackError};
use crate::runtime;
use crate::storage::StorageError;
use crate::volume::VolumeError;

/// Why a container could not be made, started, found or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder of ours.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file of ours does not hold what it should.
    #[error("`{}` is damaged; `keel rm -f` removes the container", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// Another container has the name.
    #[error(
        "the name `{name}` is in use by container {holder}; remove it with `keel rm {name}`, or choose another name"
    )]
    NameTaken {
        /// The name.
        name: Name,
        /// The short id of the other container.
        holder: String,
    },
    /// There is no such container.
    #[error(
        "no container is called `{0}` or has an id that starts so; `keel ps -a` lists them all"
    )]
    NotFound(String),
    /// The beginning of an id is that of several.
    #[error("`{given}` could be {}; give more digits", candidates.join(" or "))]
    Ambiguous {
        /// What was given.
        given: String,
        /// The containers' folders.
        candidates: Vec<String>,
    },
    /// Only running containers can do that.
    #[error("container `{0}` is not running; `keel ps -a` shows what became of it")]
    NotRunning(Name),
    /// Paused containers cannot do that.
    #[error("container `{0}` is paused; let it go on first, with `keel unpause {0}`")]
    Paused(Name),
    /// Only paused containers can go on.
    #[error("container `{0}` is not paused; `keel ps` shows what it is doing")]
    NotPaused(Name),
    /// Running containers are not removed.
    #[error(
        "container `{0}` is running; stop it first with `keel stop {0}`, or use `keel rm -f {0}`"
    )]
    Running(Name),
    /// Neither image nor user says what to run.
    #[error("the image `{0}` names no command; give one after the image")]
    NoCommand(String),
    /// A user or group that the container does not know.
    #[error("{what} `{name}` is not in the container's `{file}`; use a number, or add it there")]
    UnknownUser {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// A value that can only be checked late.
    #[error(transparent)]
    Option(#[from] Malformed),
    /// A seccomp profile that is none.
    #[error("`{}` is not a seccomp profile in Docker's or the OCI's format", path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// Something that a foreground container with `--rm` does not have.
    #[error(
        "container `{0}` runs in the foreground with `--rm` and keeps no log; its output went to whoever started it"
    )]
    NoLog(Name),
    /// Its output is kept by somebody else, or by nobody.
    #[error(
        "the log driver of container `{name}` is `{driver}`, which keel cannot read back; look where it writes to"
    )]
    LogElsewhere {
        /// Its name.
        name: Name,
        /// Its log driver.
        driver: LogDriver,
    },
    /// Nobody holds the container's streams for others.
    #[error(
        "container `{0}` cannot be attached to: it runs in the foreground with `--rm`, or its monitor was killed"
    )]
    NotAttachable(Name),
    /// The container does not stop.
    #[error(
        "container `{0}` did not end after SIGKILL; its process hangs in the kernel (see `dmesg`)"
    )]
    Immortal(Name),
    /// Reading or signalling a process.
    #[error("cannot {action} the container's process {pid}")]
    Process {
        /// What was tried, as a verb.
        action: &'static str,
        /// Its id on the host.
        pid: u32,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The monitor of a detached container failed.
    #[error("the container's monitor failed: {0}")]
    Monitor(String),
    /// The monitor of a detached container says why that did not start.
    #[error(transparent)]
    NotStarted(Refusal),
    /// What needs a control group, of a container that has none.
    #[error(
        "that needs a control group of the container's own, and this user may make none; start keel in one that is delegated to you (`systemd-run --user --scope -p Delegate=yes keel …`, with cgroup v2), or give `--cgroup-parent` one that is yours"
    )]
    NoGroup,
    /// A user's own namespace.
    #[error(transparent)]
    Rootless(#[from] crate::rootless::Error),
    /// A spec that cannot be built.
    #[error("cannot describe the container to the runtime")]
    Spec(#[source] oci_spec::OciSpecError),
    /// The run path.
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    /// A copy that cannot be made so.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// Files could not be packed.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A tar could not be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// A volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// `--mount` of a folder that is not there.
    #[error("the source `{}` of a mount does not exist: make it first, or add `bind-create-src`", .0.display())]
    NoBindSource(PathBuf),
    /// Two mounts in one place.
    #[error("two mounts are to be at `{}`: leave one out", .0.display())]
    SameTarget(PathBuf),
    /// The images could not be looked at.
    #[error("cannot look at the images")]
    Images(#[source] Box<crate::image::store::StoreError>),
    /// The storage driver.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Error {
    /// For `map_err`: what was done and on what, around what the kernel said.
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

    /// The exit code of `keel run` and `keel exec` that says so.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all others, also later ones, are the engine's own failures"
    )]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Runtime(error) => error.exit_code(),
            Self::NotStarted(refusal) => refusal.code,
            _ => 125,
        }
    }
}
