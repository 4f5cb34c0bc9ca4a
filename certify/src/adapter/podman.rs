//! Podman.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{AdapterError, Engine, Setup, State, program};

/// Podman, with its state in a folder of the run's own.
#[derive(Debug)]
pub(super) struct Podman {
    program: PathBuf,
    setup: Setup,
}

impl Podman {
    pub(super) fn new(mut setup: Setup) -> Result<Self, AdapterError> {
        let program = program::find(setup.program.take(), "podman")?;
        Ok(Self { program, setup })
    }
}

/// Where it keeps images and containers.
const STORAGE: &str = "storage";
/// Where it keeps what a reboot ends.
const RUN: &str = "run";

impl Engine for Podman {
    fn name(&self) -> &'static str {
        "podman"
    }

    fn program(&self) -> &Path {
        &self.program
    }

    fn global_options(&self) -> Vec<OsString> {
        let mut options: Vec<OsString> = vec![
            "--root".into(),
            self.setup.root.join(STORAGE).into(),
            "--runroot".into(),
            self.setup.root.join(RUN).into(),
            // Without systemd as init, which a guest doesn't have, nothing else works.
            "--cgroup-manager".into(),
            "cgroupfs".into(),
            "--events-backend".into(),
            "file".into(),
        ];
        if let Some(driver) = self.setup.storage_driver {
            options.extend(["--storage-driver".into(), driver.name().into()]);
        }
        options
    }

    fn remove_now(&self) -> &'static [&'static str] {
        // Otherwise it asks first, and waits ten seconds for an answer.
        &["-f", "-t", "0"]
    }

    fn state(&self) -> State {
        State::Private(&[STORAGE, RUN])
    }
}
