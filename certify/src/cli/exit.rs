//! What a verb comes back with, and the exit code of each.

use std::fmt;
use std::process::ExitCode;

/// The answer to what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Supported, certified, valid: exit code 0.
    Yes,
    /// Not supported, not certified, not valid: exit code 1.
    No,
}

impl From<bool> for Answer {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

impl From<Answer> for ExitCode {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Yes => Self::from(0),
            Answer::No => Self::from(1),
        }
    }
}

/// Why there is no answer.
///
/// Any error becomes [`Failure::Harness`] through `?`; one that the user can mend by giving
/// other input is marked with [`InputContext::or_bad_input`].
#[derive(Debug)]
pub enum Failure {
    /// Wrong use or bad input: exit code 2.
    Input(anyhow::Error),
    /// The harness or a machine failed: exit code 3.
    Harness(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Harness(error.into())
    }
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Input(_) => Self::from(2),
            Failure::Harness(_) => Self::from(3),
        }
    }
}

impl fmt::Display for Failure {
    /// The whole chain of causes, one a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Input(error) | Self::Harness(error)) = self;
        write!(f, "error: {error}")?;
        for cause in error.chain().skip(1) {
            write!(f, "\n  because: {cause}")?;
        }
        Ok(())
    }
}

/// Marks an error as one that other input would mend.
pub trait InputContext<T> {
    /// Turns the error into [`Failure::Input`].
    fn or_bad_input(self) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> InputContext<T> for Result<T, E> {
    fn or_bad_input(self) -> Result<T, Failure> {
        self.map_err(|error| Failure::Input(error.into()))
    }
}
