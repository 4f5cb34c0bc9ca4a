//! What all cases of a run share, and what several runs against one engine share.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use super::case::{Proof, Unproven};
use super::image::{BASE, CONFIGURED, LAYERED, base_archive, payload};
use super::machine::Machine;
use super::process::Process;
use super::scene::Scene;
use crate::adapter::{Cli, State};

/// What the harness's own folder is called in the one of the engine's state.
pub(crate) const WORKSHOP: &str = "workshop";

/// A folder of the harness's own, and the images that most cases run. Runs against one and the
/// same engine may share it: the images are made and loaded once.
#[derive(Debug)]
pub struct Workshop {
    folder: PathBuf,
    images: OnceLock<Proof>,
    names: AtomicU32,
}

/// One run.
#[derive(Debug)]
pub(super) struct Lab {
    pub(super) cli: Cli,
    pub(super) machine: Machine,
    pub(super) workshop: Arc<Workshop>,
    prefix: String,
    standard: OnceLock<Proof<Process>>,
    takes_good_images: OnceLock<Proof>,
}

impl Workshop {
    /// Makes the folder in `root`, the one of the engine's state, with which it goes; no engine is
    /// touched yet.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn new(root: &Path) -> std::io::Result<Self> {
        let folder = root.join(WORKSHOP);
        fs::create_dir(&folder)?;
        // A container's user must be able to reach the volumes in it.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        Ok(Self {
            folder,
            images: OnceLock::new(),
            names: AtomicU32::new(0),
        })
    }

    /// Takes the images out of an engine that others use too. One whose state is this run's
    /// own loses them with its folder.
    pub fn close(&self, cli: &Cli) {
        if cli.engine().state() == State::Shared {
            for image in [BASE, LAYERED, CONFIGURED] {
                // Never loaded, where nothing needed it.
                drop(cli.honest().run("rmi", [image], None));
            }
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The tool as a file of the host.
    pub(super) fn tool(&self) -> PathBuf {
        self.folder().join("tool")
    }

    /// Makes and loads the images.
    fn load(&self, cli: &Cli) -> Proof {
        let bytes = payload()?;
        fs::write(self.tool(), &bytes)?;
        fs::set_permissions(self.tool(), fs::Permissions::from_mode(0o755))?;
        let archive = self.folder().join("base.tar");
        base_archive(&bytes, &archive)?;
        let loaded = cli.run("load", [OsStr::new("-i"), archive.as_os_str()], None)?;
        fs::remove_file(&archive)?;
        if loaded.code() == 0 {
            return Ok(());
        }
        Err(Unproven::Fail(format!(
            "the engine refuses a good image: {}",
            loaded.account()
        )))
    }
}

impl Lab {
    /// Looks at the machine; the engine is not touched yet.
    pub(super) fn new(cli: Cli, workshop: Arc<Workshop>) -> Proof<Self> {
        Ok(Self {
            cli,
            machine: Machine::look()?,
            workshop,
            prefix: format!("sw{}", std::process::id()),
            standard: OnceLock::new(),
            takes_good_images: OnceLock::new(),
        })
    }

    /// A name that no other container of this process has.
    pub(super) fn name(&self, case: &str) -> String {
        let number = self.workshop.names.fetch_add(1, Ordering::Relaxed);
        format!("{}-{}-{number}", self.prefix, case.replace('.', "-"))
    }

    /// Makes and loads the images that most cases run, once.
    pub(super) fn images(&self) -> Proof {
        self.workshop
            .images
            .get_or_init(|| self.workshop.load(&self.cli))
            .clone()
    }

    /// That the engine takes a good image and runs it: without that, a refusal of a bad one proves
    /// nothing. Shown once for the run.
    pub(super) fn takes_good_images(&self) -> Proof {
        let show = || Scene::new(self, GOOD_IMAGE).runs_good_image();
        self.takes_good_images.get_or_init(show).clone()
    }

    /// Process 1 of a container with nothing but defaults, which lives as long as the run and
    /// which cases only look at.
    pub(super) fn standard(&self) -> Proof<Process> {
        let start = || {
            let scene = Scene::new(self, STANDARD);
            let container = scene.start(&[], &["pause"])?;
            let process = container.process;
            // It is removed with all that is left at the end of the run.
            std::mem::forget(container);
            Ok(process)
        };
        self.standard.get_or_init(start).clone()
    }

    /// Ends a container, whatever it is doing, and removes it: by the engine as it is, as
    /// tidying up is no part of any test.
    pub(super) fn remove(&self, name: &str) {
        let options = self.cli.engine().remove_now();
        // One that is gone already is no error here; one that stays is found at the end.
        drop(
            self.cli
                .honest()
                .run("rm", [options, &[name]].concat(), None),
        );
    }

    /// Removes every container that carries this run's names, and tells which there were that
    /// no case had meant to leave.
    pub(super) fn clean_up(&self) -> Vec<String> {
        let listed = self.cli.honest().run("ps", ["-a"], None);
        let listed = listed.map(|done| done.out()).unwrap_or_default();
        let standard = format!("{}-{}", self.prefix, STANDARD.replace('.', "-"));
        let mut leftovers = Vec::new();
        for name in listed.split_whitespace() {
            if name.starts_with(&self.prefix) {
                self.remove(name);
                if !name.starts_with(&standard) {
                    leftovers.push(name.to_owned());
                }
            }
        }
        leftovers
    }
}

/// What the names of the standard container are made of.
const STANDARD: &str = "suite.standard";

/// What the names of the container that shows a good image are made of.
const GOOD_IMAGE: &str = "suite.good-image";
