//! The folder of an engine's state on this host, and what runs that were killed left of theirs.
//!
//! A kill runs no destructor, so the folder stays, and so may containers. Whoever lives holds a
//! lock on its folder; the next run finds those that nobody holds, ends what is in them by the
//! engine itself, and removes them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::adapter::{self, Cli, EngineKind, Setup, State};

/// What the folders' names begin with. `suite run` by itself has another, as it takes no lock.
const PREFIX: &str = "seaworthy-cell-";

/// What the suite runner's own folder in it is called, up to its last characters.
const INNER: &str = "seaworthy-engine-";

/// A folder that is removed when it is dropped, and by the next run if it could not be: what runs
/// in it, as when a suite was interrupted, is ended first.
#[derive(Debug)]
pub struct EngineFolder {
    folder: TempDir,
    engine: Option<Engine>,
    _lock: Flock<File>,
}

impl Drop for EngineFolder {
    fn drop(&mut self) {
        if !end_all(self.engine.as_ref(), self.folder.path()) {
            self.folder.disable_cleanup(true);
        }
    }
}

impl EngineFolder {
    /// Makes one in `parent`.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn make(parent: &Path, engine: Option<Engine>) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        // Between its making and its lock another run may take it for abandoned: then this one
        // finds it locked, or gone when it uses it, and does without this machine.
        let lock = lock(folder.path())?;
        Ok(Self {
            folder,
            engine,
            _lock: lock,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The engine that may have left containers behind.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    pub(super) kind: EngineKind,
    pub(super) program: PathBuf,
}

/// Removes the folders of this user in `parent` that nobody holds. What can't be removed stays
/// for the next time: it is in nobody's way.
pub(super) fn sweep(parent: &Path, engine: Option<&Engine>) {
    for folder in folders(parent, PREFIX) {
        let Ok(lock) = lock(&folder) else {
            continue;
        };
        // In a folder for everybody's temporary files anybody can make one of that name, and have
        // root's engine work on what is in it.
        if !lock
            .metadata()
            .is_ok_and(|found| found.uid() == geteuid().as_raw())
        {
            continue;
        }
        if !end_all(engine, &folder) {
            tracing::warn!(folder = %folder.display(), "an abandoned engine folder stays: the engine can't remove its containers");
            continue;
        }
        if let Err(error) = fs::remove_dir_all(&folder) {
            tracing::warn!(folder = %folder.display(), %error, "an abandoned engine folder stays");
        }
    }
}

/// A lock that ends with the process, however that ends.
fn lock(folder: &Path) -> io::Result<Flock<File>> {
    Flock::lock(File::open(folder)?, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, errno)| errno.into())
}

/// The folders in `parent` whose names begin with `prefix`.
fn folders(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        // A link to a folder is none: what it points at is not ours.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Ends and removes every container of the engine whose state is in `folder`; whether none is
/// left.
fn end_all(engine: Option<&Engine>, folder: &Path) -> bool {
    let mut roots = folders(folder, INNER).into_iter();
    engine.is_none_or(|engine| roots.all(|root| end_containers(engine, &root)))
}

fn end_containers(engine: &Engine, root: &Path) -> bool {
    let setup = Setup {
        program: Some(engine.program.clone()),
        storage_driver: None,
        root: root.to_owned(),
    };
    let (Ok(engine), Ok(mut entries)) = (adapter::open(engine.kind, setup), fs::read_dir(root))
    else {
        return false;
    };
    let State::Private(own) = engine.state() else {
        // A daemon's containers are not in this folder.
        return entries.next().is_none();
    };
    // Another engine's state says nothing to this one, which would find no container in it.
    let is_own = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| own.iter().any(|own| entry.file_name() == *own))
    };
    if !entries.all(is_own) {
        return false;
    }
    let remove_now = engine.remove_now();
    let cli = Cli::new(engine);
    let done = |verb, args: &[&str]| {
        let finished = cli.run(verb, args, None).ok()?;
        finished.status.success().then(|| finished.out())
    };
    done("ps", &["-a", "-q"]).is_some_and(|ids| {
        let mut ids = ids.split_whitespace();
        ids.all(|id| done("rm", &[remove_now, &[id]].concat()).is_some())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_what_nobody_holds_is_removed_and_its_containers_first() {
        let parent = tempfile::tempdir().unwrap();
        let living = EngineFolder::make(parent.path(), None).unwrap();
        let abandoned = parent.path().join(format!("{PREFIX}killed"));
        fs::create_dir_all(abandoned.join(format!("{INNER}x/keel"))).unwrap();
        let podmans = parent.path().join(format!("{PREFIX}podman"));
        fs::create_dir_all(podmans.join(format!("{INNER}y/storage"))).unwrap();
        let foreign = parent.path().join("thesis");
        fs::create_dir(&foreign).unwrap();
        let program = parent.path().join("keel");
        let calls = parent.path().join("calls");
        let script = format!(
            "#!/bin/sh\n[ -d \"$2\" ] || exit 9\nshift 2\necho \"$*\" >>{}\n[ \"$1\" = ps ] && echo c1 c2\nexit 0\n",
            calls.display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let engine = Engine {
            kind: EngineKind::Keel,
            program,
        };

        sweep(parent.path(), Some(&engine));

        assert!(living.path().exists() && foreign.exists() && podmans.exists());
        assert!(!abandoned.exists());
        assert_eq!(
            fs::read_to_string(&calls).unwrap(),
            "ps -a -q\nrm -f c1\nrm -f c2\n"
        );

        // A suite that was interrupted ends as one that was killed, only at once.
        let interrupted = EngineFolder::make(parent.path(), Some(engine)).unwrap();
        let path = interrupted.path().to_owned();
        fs::create_dir_all(path.join(format!("{INNER}z/keel"))).unwrap();
        fs::remove_file(&calls).unwrap();
        drop(interrupted);
        assert!(!path.exists());
        assert_eq!(
            fs::read_to_string(&calls).unwrap(),
            "ps -a -q\nrm -f c1\nrm -f c2\n"
        );
    }

    #[test]
    fn the_state_of_containers_that_can_not_be_removed_stays() {
        let parent = tempfile::tempdir().unwrap();
        let abandoned = parent.path().join(format!("{PREFIX}killed"));
        fs::create_dir_all(abandoned.join(format!("{INNER}x/keel"))).unwrap();
        let engine = Engine {
            kind: EngineKind::Keel,
            program: "/bin/false".into(),
        };
        sweep(parent.path(), Some(&engine));
        assert!(abandoned.exists());
    }
}
