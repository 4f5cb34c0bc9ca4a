//! Which engine, and how it is set up: the arguments that several verbs share.

use std::path::PathBuf;

use anyhow::Context as _;
use matrix::axis::StorageDriver;

use super::{Failure, InputContext as _};
use crate::adapter::{self, AdapterError, Cli, EngineKind, Setup};
use crate::provision::engine_folder::{Engine, HeldFolder};
use crate::suite::Workshop;
use crate::terminal;

/// The engine under test.
#[derive(Debug, clap::Args)]
pub(super) struct EngineArgs {
    /// The engine's adapter: keel, docker or podman
    #[arg(long, default_value = "keel", value_name = "NAME")]
    engine: EngineKind,
    /// The engine's program [default: beside seaworthy, then in PATH]
    #[arg(long, value_name = "FILE")]
    engine_path: Option<PathBuf>,
    /// The storage driver that the engine must use [default: the engine's own choice]
    #[arg(long, value_name = "DRIVER")]
    storage_driver: Option<StorageDriver>,
    /// A folder for the engine's state, on the file system to be tested [default: a new one
    /// in the temporary folder]
    #[arg(long, value_name = "DIR")]
    engine_root: Option<PathBuf>,
}

/// An engine that is set up, in a folder of its own.
#[derive(Debug)]
pub(super) struct OpenEngine {
    pub(super) cli: Cli,
    root: HeldFolder,
}

impl EngineArgs {
    /// Finds the engine and makes a folder for its state.
    pub(super) fn open(self) -> Result<OpenEngine, Failure> {
        let root = match self.engine_root {
            None => HeldFolder::for_runner(&std::env::temp_dir())?,
            Some(parent) => {
                let made = std::path::absolute(&parent).and_then(|parent| {
                    std::fs::create_dir_all(&parent)?;
                    HeldFolder::for_runner(&parent)
                });
                made.with_context(|| {
                    let parent = parent.display();
                    format!("`--engine-root {parent}`: no folder for the engine's state there")
                })
                .or_bad_input()?
            }
        };
        let setup = Setup {
            program: self.engine_path,
            storage_driver: self.storage_driver,
            root: root.path().to_owned(),
        };
        let engine = adapter::open(self.engine, setup).map_err(|error| {
            // An engine that was named wrongly is the caller's mistake; one that is nowhere is
            // missing from this machine.
            if matches!(error, AdapterError::NotFound { .. }) {
                Failure::Harness(error.into())
            } else {
                Failure::Input(error.into())
            }
        })?;
        let cli = Cli::new(engine);
        root.sweep_beside(&Engine {
            kind: self.engine,
            program: cli.engine().program().to_owned(),
        });
        Ok(OpenEngine { cli, root })
    }
}

impl OpenEngine {
    /// An engine that can't work here at all would fail every case, none of which says anything of
    /// it where nobody knows whether the system is fit.
    pub(super) fn see_that_it_works(&self) -> Result<(), Failure> {
        adapter::allow(self.cli.engine()).or_bad_input()?;
        let info = self.cli.run("info", [""; 0], None)?;
        if info.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&info.stderr);
        let error = anyhow::anyhow!("{}", said.trim()).context(format!(
            "the engine does not work here, so nothing was run: `{}` failed",
            info.command
        ));
        Err(Failure::Harness(error))
    }

    /// The harness's own folder beside the engine's state.
    pub(super) fn workshop(&self) -> std::io::Result<Workshop> {
        Workshop::new(self.root.path())
    }

    /// Removes the folder, and says so where that fails: what an engine leaves mounted in it
    /// keeps it.
    pub(super) fn close(self) {
        let path = self.root.path().display().to_string();
        if let Err(error) = self.root.close() {
            terminal::message(&format!(
                "warning: can't remove the engine's folder {path}: {error}"
            ));
        }
    }
}
