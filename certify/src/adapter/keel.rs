//! Keel.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{AdapterError, Engine, Setup, State, program};

/// Keel, with its state in a folder of the run's own.
#[derive(Debug)]
pub(super) struct Keel {
    program: PathBuf,
    setup: Setup,
}

impl Keel {
    pub(super) fn new(mut setup: Setup) -> Result<Self, AdapterError> {
        let program = program::find(setup.program.take(), "keel")?;
        Ok(Self { program, setup })
    }
}

/// Where it keeps its state.
const FOLDER: &str = "keel";

impl Engine for Keel {
    fn name(&self) -> &'static str {
        "keel"
    }

    fn program(&self) -> &Path {
        &self.program
    }

    fn global_options(&self) -> Vec<OsString> {
        let mut options = vec!["--root".into(), self.setup.root.join(FOLDER).into()];
        if let Some(driver) = self.setup.storage_driver {
            options.extend(["--storage-driver".into(), driver.name().into()]);
        }
        options
    }

    fn state(&self) -> State {
        State::Private(&[FOLDER])
    }

    fn needs_root(&self) -> bool {
        true
    }
}
