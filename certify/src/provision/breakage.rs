//! How a machine, or the harness, failed: never the engine's fault.

use std::error::Error;

use vm_images::agent::AgentError;

/// How a machine, or the harness, failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breakage {
    /// A short name that stays the same between releases (`kernel-panic`).
    pub kind: String,
    /// What was seen.
    pub detail: String,
}

impl Breakage {
    /// A breakage of this kind.
    pub fn new(kind: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            detail: detail.into(),
        }
    }

    /// What an error says, with everything behind it.
    pub fn of(kind: &str, error: &(dyn Error + 'static)) -> Self {
        Self::new(kind, told(error))
    }
}

impl From<AgentError> for Breakage {
    fn from(error: AgentError) -> Self {
        match error.trouble() {
            Some(trouble) => Self::new(trouble.kind.name(), trouble.to_string()),
            None => Self::of("agent", &error),
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn told(error: &(dyn Error + 'static)) -> String {
    let mut parts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        parts.push(error.to_string());
        cause = error.source();
    }
    parts.join(": ")
}
