//! A case, and what it can come to.

use std::fmt;

use nix::errno::Errno;

use crate::adapter::InvocationError;

use super::scene::Scene;

/// One behaviour of an engine, and how it is proved.
#[derive(Clone, Copy)]
pub struct Case {
    /// `area.name`, unique among all cases.
    pub id: &'static str,
    /// The requirements that it proves; each has its level, text and source in
    /// `matrix/data/requirements/`.
    pub requirements: &'static [&'static str],
    pub(super) run: fn(&Scene<'_>) -> Proof,
}

/// Registers a case in its area's list.
pub(super) const fn case(
    id: &'static str,
    requirements: &'static [&'static str],
    run: fn(&Scene<'_>) -> Proof,
) -> Case {
    Case {
        id,
        requirements,
        run,
    }
}

impl Case {
    /// The suite that it belongs to: what stands before the dot.
    pub fn area(&self) -> &'static str {
        self.id.split_once('.').map_or(self.id, |(area, _)| area)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({})", self.id)
    }
}

/// What a case, or a step of one, comes to.
pub type Proof<T = ()> = Result<T, Unproven>;

/// Why a behaviour was not proved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The engine did something else: what was expected, what was seen.
    #[error("{0}")]
    Fail(String),
    /// This machine can't show it.
    #[error("{requirement}: {why}")]
    Skip {
        /// The requirement that is absent.
        requirement: &'static str,
        /// What was looked for.
        why: String,
    },
    /// The engine did not end in time, or what it owes did not come. Whether the machine let it
    /// is found out before this counts.
    #[error("{0}")]
    Hung(String),
    /// The harness or the machine failed, so nothing is known about the engine.
    #[error("{0}")]
    Broken(String),
}

impl From<InvocationError> for Unproven {
    fn from(error: InvocationError) -> Self {
        let source =
            std::error::Error::source(&error).map_or_else(String::new, |s| format!(" ({s})"));
        let text = format!("{error}{source}");
        match error {
            InvocationError::Start { .. } | InvocationError::Output { .. } => Self::Broken(text),
            InvocationError::Hung { .. } => Self::Hung(text),
        }
    }
}

impl Unproven {
    /// `what` of a container can't be read. One that is gone is the engine's loss; whatever else
    /// keeps the harness from reading is none of the engine's doing.
    pub(super) fn unread(what: &str, error: &std::io::Error) -> Self {
        let text = format!("can't read {what}: {error}");
        let errno = error.raw_os_error().map(Errno::from_raw);
        match errno {
            // Of a process, of a group, while it was being read.
            Some(Errno::ENOENT | Errno::ESRCH | Errno::ENODEV) => Self::Fail(text),
            _ => Self::Broken(text),
        }
    }
}

/// The harness's own files: whatever is wrong with them, the engine is not to blame.
impl From<std::io::Error> for Unproven {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(format!(
            "the harness could not work with its own files: {error}"
        ))
    }
}
