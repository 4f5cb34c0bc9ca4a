//! Why a container could not be started.

use std::io;

use super::hooks::HookEnd;
use super::requirement::Missing;
use super::{cgroup, seccomp};

/// Why a container could not be started, or joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The spec asks for something that Keel does not do.
    #[error("{what} is not supported; {remedy}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// What to do instead.
        remedy: &'static str,
    },
    /// The spec contradicts itself or the specification.
    #[error("{field}: {why}")]
    Invalid {
        /// Which member of the spec, in the spec's own notation: `process.args`.
        field: String,
        /// What is wrong with it and what would be right.
        why: String,
    },
    /// The kernel lacks something that the spec needs.
    #[error(transparent)]
    Requirement(#[from] Missing),
    /// The program was not found (exit code 127), or found and not executable (126).
    #[error("cannot run {program:?} in the container")]
    Program {
        /// `process.args[0]`.
        program: String,
        /// Of the execve.
        #[source]
        source: io::Error,
    },
    /// A step of the set-up failed.
    #[error("cannot {step}: {remedy}")]
    Setup {
        /// What was being done, on what.
        step: Step,
        /// What to look at or to change.
        remedy: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The process to join is not (any more) the recorded one.
    #[error("the container's process {pid} has ended; start the container again")]
    Gone {
        /// The recorded process id.
        pid: u32,
    },
    /// A hook of the bundle failed.
    #[error("the {point} hook {path} {end}; see what it wrote on standard error")]
    Hook {
        /// Its point, as in `config.json`.
        point: &'static str,
        /// Its program.
        path: String,
        /// How it failed.
        end: HookEnd,
    },
    /// Creating the cgroup, or setting its limits.
    #[error(transparent)]
    Cgroup(#[from] cgroup::Error),
    /// Translating the seccomp profile.
    #[error(transparent)]
    Seccomp(#[from] seccomp::Error),
}

impl Error {
    /// The exit code that a Docker-like command line shows: 127 program not found, 126 found but
    /// not executable, 125 everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Program { source, .. } => match source.raw_os_error() {
                Some(nix::libc::ENOENT | nix::libc::ENOTDIR | nix::libc::ELOOP) => 127,
                _ => 126,
            },
            Self::Unsupported { .. }
            | Self::Invalid { .. }
            | Self::Requirement(_)
            | Self::Setup { .. }
            | Self::Gone { .. }
            | Self::Hook { .. }
            | Self::Cgroup(_)
            | Self::Seccomp(_) => 125,
        }
    }
}

/// A step of the set-up and what it was done on, in words: `mount proc on "/proc"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step(pub(super) String);

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
