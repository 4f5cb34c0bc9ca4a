//! What Keel needs of a kernel, and what this one lacks.

/// Something that the kernel lacks, with the id that the support matrix uses for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this kernel lacks {what} (requirement {id}); {remedy}")]
pub struct Missing {
    /// The requirement's id, such as `kernel.ns.pid`.
    pub id: &'static str,
    /// What is absent, in words.
    pub what: &'static str,
    /// What to change: a kernel option, a boot parameter, a mount.
    pub remedy: &'static str,
    /// Whether no container can run without it.
    pub level: Level,
}

/// How much a requirement matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// No container can be run without it.
    Must,
    /// Containers run, but a common option will be refused.
    Should,
}

/// What this kernel lacks; empty when it is fit.
pub fn missing() -> Vec<Missing> {
    Vec::new()
}
