//! What is wrong with an option's value.

/// A value that its option does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}; give {example}")]
pub struct Malformed {
    why: String,
    example: &'static str,
}

impl Malformed {
    /// `why` it is refused, and an `example` of what would do.
    pub(crate) fn new(why: impl Into<String>, example: &'static str) -> Self {
        Self {
            why: why.into(),
            example,
        }
    }
}
