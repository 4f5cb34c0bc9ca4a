//! What an adapter has to say about its engine.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use matrix::axis::StorageDriver;
use nix::unistd::geteuid;

use super::{docker, keel, podman};

/// An engine that speaks Docker's command line.
///
/// Laws, held by the conformance test in this module: `program` followed by
/// `global_options` and a verb is a whole command line; two calls give the same one; nothing
/// is executed by any method.
pub trait Engine: fmt::Debug + Send + Sync {
    /// The adapter's name, as `--engine` takes it.
    fn name(&self) -> &'static str;

    /// The engine's own program: what is executed, and what the certificate names by digest.
    fn program(&self) -> &Path;

    /// What stands between the program and the verb on every command line.
    fn global_options(&self) -> Vec<OsString>;

    /// The options with which `rm` ends a running container at once and removes it.
    fn remove_now(&self) -> &'static [&'static str] {
        &["-f"]
    }

    /// Whether its containers and images are kept apart for this run.
    fn state(&self) -> State;

    /// Whether only root can run containers with it.
    fn needs_root(&self) -> bool {
        false
    }
}

/// Where an engine's containers and images live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In these folders of [`Setup::root`], which is this run's own: whatever is in them at the
    /// end is a leftover.
    Private(&'static [&'static str]),
    /// With a daemon that serves others too: only what carries this run's names is ours.
    Shared,
}

/// How the engine is to be set up for a run.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The program; where absent it is looked for beside `seaworthy` and in `PATH`.
    pub program: Option<PathBuf>,
    /// The storage driver that it must use; absent: its own choice.
    pub storage_driver: Option<StorageDriver>,
    /// The folder for its state, which exists and is empty.
    pub root: PathBuf,
}

/// Which adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// Keel, the engine that Seaworthy ships with.
    Keel,
    /// Docker's client, with whatever daemon it talks to.
    Docker,
    /// Podman.
    Podman,
}

impl EngineKind {
    /// Every adapter, the first being the default.
    pub const ALL: [Self; 3] = [Self::Keel, Self::Docker, Self::Podman];

    /// The name that `--engine` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keel => "keel",
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = AdapterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| AdapterError::UnknownEngine(text.chars().take(80).collect()))
    }
}

/// Why an engine can't be reached.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// No adapter of that name.
    #[error("there is no adapter for `{0}`: use `keel`, `docker` or `podman`")]
    UnknownEngine(String),
    /// The program is nowhere.
    #[error(
        "the engine `{name}` was found neither beside seaworthy nor in PATH: \
         install it, or name it with --engine-path"
    )]
    NotFound {
        /// The program that was looked for.
        name: &'static str,
    },
    /// The program that was named can't be executed.
    #[error("{} is not an executable file: name the engine's program with --engine-path", path.display())]
    NotExecutable {
        /// What was named.
        path: PathBuf,
    },
    /// The engine has no way to be told its storage driver.
    #[error(
        "docker takes its storage driver from the daemon's configuration: \
         configure `storage-driver` there, and leave --storage-driver out"
    )]
    DriverIsTheDaemons,
    /// Nobody but root can run containers with it.
    #[error("{0} runs containers for root alone: run this as root")]
    NeedsRoot(&'static str),
}

/// Sees that this user can run containers with the engine.
///
/// # Errors
/// [`AdapterError::NeedsRoot`].
pub fn allow(engine: &dyn Engine) -> Result<(), AdapterError> {
    if engine.needs_root() && !geteuid().is_root() {
        return Err(AdapterError::NeedsRoot(engine.name()));
    }
    Ok(())
}

/// The adapter for `kind`, set up for one run.
pub fn open(kind: EngineKind, setup: Setup) -> Result<Box<dyn Engine>, AdapterError> {
    Ok(match kind {
        EngineKind::Keel => Box::new(keel::Keel::new(setup)?),
        EngineKind::Docker => Box::new(docker::Docker::new(setup)?),
        EngineKind::Podman => Box::new(podman::Podman::new(setup)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> Setup {
        Setup {
            program: Some(PathBuf::from("/proc/self/exe")),
            storage_driver: None,
            root: PathBuf::from("/nowhere"),
        }
    }

    #[test]
    fn every_adapter_keeps_the_laws() {
        for kind in EngineKind::ALL {
            let engine = open(kind, setup()).unwrap();
            assert_eq!(engine.name(), kind.name());
            assert_eq!(engine.name().parse::<EngineKind>().unwrap(), kind);
            assert_eq!(engine.global_options(), engine.global_options());
            assert!(engine.program().is_absolute());
            let private = matches!(engine.state(), State::Private(_));
            let names_root = engine
                .global_options()
                .iter()
                .any(|o| o.to_string_lossy().contains("/nowhere"));
            assert_eq!(
                private, names_root,
                "{kind}: a private state is told to the engine"
            );
        }
    }

    #[test]
    fn a_driver_is_passed_on_or_refused_but_never_dropped() {
        for kind in EngineKind::ALL {
            let setup = Setup {
                storage_driver: Some(StorageDriver::Vfs),
                ..setup()
            };
            match open(kind, setup) {
                Ok(engine) => assert!(engine.global_options().iter().any(|option| option == "vfs")),
                Err(error) => assert!(matches!(error, AdapterError::DriverIsTheDaemons)),
            }
        }
    }

    #[test]
    fn a_program_that_is_no_file_is_refused_by_name() {
        let setup = Setup {
            program: Some(PathBuf::from("/nowhere/keel")),
            ..setup()
        };
        let error = open(EngineKind::Keel, setup).unwrap_err();
        assert!(error.to_string().contains("/nowhere/keel"));
    }
}
