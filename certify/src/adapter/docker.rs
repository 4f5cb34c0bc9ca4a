//! Docker's client.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{AdapterError, Engine, Setup, State, program};

/// Docker, as the daemon that its client is configured for runs it.
#[derive(Debug)]
pub(super) struct Docker {
    program: PathBuf,
}

impl Docker {
    pub(super) fn new(setup: Setup) -> Result<Self, AdapterError> {
        if setup.storage_driver.is_some() {
            return Err(AdapterError::DriverIsTheDaemons);
        }
        Ok(Self {
            program: program::find(setup.program, "docker")?,
        })
    }
}

impl Engine for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn program(&self) -> &Path {
        &self.program
    }

    fn global_options(&self) -> Vec<OsString> {
        Vec::new()
    }

    fn state(&self) -> State {
        State::Shared
    }
}
