//! Exit codes, which are Docker's, and how a failure is told.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// Done as asked.
pub const OK: u8 = 0;
/// A verb failed (of `run` and `exec`: the command inside gave it).
pub const FAILED: u8 = 1;
/// `run`: the engine failed before the command started. Any verb: wrong use.
pub const ENGINE: u8 = 125;
/// `run` and `exec`: the command was found and cannot be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// `run` and `exec`: there is no such command.
pub const NOT_FOUND: u8 = 127;

/// What a verb comes back with: the exit code, or why there is none.
pub type Outcome = Result<ExitCode, Failure>;

/// Why a verb failed, and the exit code that says so.
///
/// Any error becomes one with code [`FAILED`] through `?`; [`WithCode`] gives another.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            code: FAILED,
            error: error.into(),
        }
    }
}

impl Failure {
    /// A failure with an exit code of its own.
    pub fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self {
            code,
            error: error.into(),
        }
    }
}

impl Failure {
    /// The whole chain of causes, for a log.
    pub fn in_one_line(&self) -> String {
        let causes: Vec<_> = self.error.chain().map(ToString::to_string).collect();
        causes.join(": ")
    }

    /// Whether the system refused something to this user.
    pub fn is_for_lack_of_permission(&self) -> bool {
        self.error.chain().any(|cause| {
            let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
            kind == Some(io::ErrorKind::PermissionDenied)
        })
    }
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        Self::from(failure.code)
    }
}

impl fmt::Display for Failure {
    /// The whole chain of causes, one a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keel: {}", self.error)?;
        for cause in self.error.chain().skip(1) {
            write!(f, "\n  because: {cause}")?;
        }
        Ok(())
    }
}

/// Gives an error the exit code of its own.
pub trait WithCode<T> {
    /// Fails with `code` instead of [`FAILED`].
    ///
    /// # Errors
    /// The same error, with the code.
    fn or_code(self, code: u8) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> WithCode<T> for Result<T, E> {
    fn or_code(self, code: u8) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(code, error))
    }
}
