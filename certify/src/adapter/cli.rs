//! Docker's command line, as every engine here speaks it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::Arc;

use matrix::results::EngineIdentity;
use sha2::{Digest, Sha256};

use super::{Engine, Finished, Invocation, InvocationError, Running};
use crate::selftest::Fault;

/// An engine's command line, honest or with a known fault built in.
#[derive(Debug, Clone)]
pub struct Cli {
    engine: Arc<dyn Engine>,
    fault: Option<&'static Fault>,
}

/// Why the engine could not even be named.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Its program can't be read.
    #[error("can't read the engine's program {program}")]
    Unreadable {
        /// The program.
        program: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It can't be executed.
    #[error("the engine can't tell its version")]
    Invocation(#[from] InvocationError),
}

impl Cli {
    /// The command line of `engine`, honest.
    pub fn new(engine: Box<dyn Engine>) -> Self {
        Self {
            engine: Arc::from(engine),
            fault: None,
        }
    }

    /// The same engine, bent by `fault` alone.
    #[must_use]
    pub fn with_fault(&self, fault: impl Into<Option<&'static Fault>>) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            fault: fault.into(),
        }
    }

    /// The same engine without any fault.
    #[must_use]
    pub fn honest(&self) -> Self {
        self.with_fault(None)
    }

    /// The engine behind it.
    pub fn engine(&self) -> &dyn Engine {
        self.engine.as_ref()
    }

    /// Starts `VERB ARGS…`, with `stdin` on its standard input.
    pub fn start<S: AsRef<OsStr>>(
        &self,
        verb: &str,
        args: impl IntoIterator<Item = S>,
        stdin: Option<&[u8]>,
    ) -> Result<Running, InvocationError> {
        let mut args: Vec<OsString> = args
            .into_iter()
            .map(|arg| arg.as_ref().to_owned())
            .collect();
        let mut shown = vec![self.engine.name().into(), verb.into()];
        shown.extend(args.iter().cloned());
        let mut verb = OsString::from(verb);
        if let Some(fault) = self.fault {
            fault.bend(&mut verb, &mut args);
        }
        let mut line = self.engine.global_options();
        line.push(verb);
        line.extend(args);
        let mut invocation = Invocation::new(self.engine.program(), line).shown_as(&shown);
        if let Some(bytes) = stdin {
            invocation = invocation.stdin(bytes);
        }
        invocation.start()
    }

    /// Runs `VERB ARGS…` to its end, with `stdin` on its standard input.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        verb: &str,
        args: impl IntoIterator<Item = S>,
        stdin: Option<&[u8]>,
    ) -> Result<Finished, InvocationError> {
        let mut finished = self.start(verb, args, stdin)?.finish()?;
        if let Some(fault) = self.fault {
            fault.bend_answer(verb, &mut finished);
        }
        Ok(finished)
    }

    /// Name, version and digest of the engine, with the fault that is built in.
    pub fn identity(&self) -> Result<EngineIdentity, IdentityError> {
        let program = self.engine.program();
        let bytes = std::fs::read(program).map_err(|source| IdentityError::Unreadable {
            program: program.display().to_string(),
            source,
        })?;
        let version = self.run("version", [""; 0], None)?;
        let honest = EngineIdentity {
            name: self.engine.name().to_owned(),
            version: version_in(&version.out()).unwrap_or_else(|| "unknown".to_owned()),
            sha256: format!("{:x}", Sha256::digest(&bytes)),
        };
        Ok(match self.fault {
            None => honest,
            Some(fault) => honest.with_fault(fault.name),
        })
    }
}

/// The first word of `version`'s answer that looks like one: `Version: 28.2.2`, `keel 0.1.0`.
fn version_in(answer: &str) -> Option<String> {
    answer
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
        .map(|word| word.chars().take(60).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_engines_say() {
        assert_eq!(version_in("keel 0.1.0\n").as_deref(), Some("0.1.0"));
        assert_eq!(
            version_in("Client:\n Version:           28.2.2\n API").as_deref(),
            Some("28.2.2")
        );
        assert_eq!(
            version_in("Client:       Podman Engine\nVersion:      4.3.1\n").as_deref(),
            Some("4.3.1")
        );
        assert_eq!(version_in(""), None);
    }
}
