//! Folders of engines' state on this host, and what runs that were killed left of theirs.
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
use crate::suite::WORKSHOP;

/// What the names of cells' folders begin with: suite runners make theirs in them.
const CELL: &str = "seaworthy-cell-";

/// What the names of suite runners' folders begin with: an engine's state, and the workshop.
const RUNNER: &str = "seaworthy-engine-";

/// How often an engine is asked for containers before those that it still has are its fault.
const LOOKS: usize = 3;

/// A folder that this process holds, and that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct HeldFolder {
    folder: TempDir,
    // After the folder: until that is gone, it is held.
    _lock: Flock<File>,
}

impl HeldFolder {
    /// Makes a suite runner's folder in `parent`.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn for_runner(parent: &Path) -> io::Result<Self> {
        Self::make(parent, RUNNER)
    }

    fn make(parent: &Path, prefix: &str) -> io::Result<Self> {
        loop {
            let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?;
            match hold(folder.path()) {
                Ok(lock) => {
                    return Ok(Self {
                        folder,
                        _lock: lock,
                    });
                }
                // Between its making and its lock another run has taken it for abandoned.
                Err(error)
                    if [io::ErrorKind::WouldBlock, io::ErrorKind::NotFound]
                        .contains(&error.kind()) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Removes it.
    ///
    /// # Errors
    /// Something in it can't be removed: an engine may have left it mounted.
    pub(crate) fn close(self) -> io::Result<()> {
        self.folder.close()
    }

    /// Removes what killed runs left beside it.
    pub(crate) fn sweep_beside(&self, engine: &Engine) {
        if let Some(parent) = self.path().parent() {
            sweep(parent, Some(engine));
        }
    }
}

/// A cell's folder: what runs in it, as when a suite was interrupted, is ended before it is
/// removed. What can't be ended stays for the next run.
#[derive(Debug)]
pub struct EngineFolder {
    held: HeldFolder,
    engine: Option<Engine>,
}

impl Drop for EngineFolder {
    fn drop(&mut self) {
        if !end_all(self.engine.as_ref(), self.path()) {
            self.held.folder.disable_cleanup(true);
        }
    }
}

impl EngineFolder {
    /// Makes one in `parent`.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn make(parent: &Path, engine: Option<Engine>) -> io::Result<Self> {
        Ok(Self {
            held: HeldFolder::make(parent, CELL)?,
            engine,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.held.path()
    }
}

/// The engine that may have left containers behind.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) kind: EngineKind,
    pub(crate) program: PathBuf,
}

/// Removes the folders of this user in `parent` that nobody holds. What can't be removed stays
/// for the next time: it is in nobody's way.
pub(super) fn sweep(parent: &Path, engine: Option<&Engine>) {
    let cells = folders(parent, CELL);
    for folder in cells.into_iter().chain(folders(parent, RUNNER)) {
        let Ok(lock) = hold(&folder) else {
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

/// A lock on a folder that is there. It ends with the process, however that ends.
fn hold(folder: &Path) -> io::Result<Flock<File>> {
    let lock = Flock::lock(File::open(folder)?, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, errno)| io::Error::from(errno))?;
    // Whoever held it before may have removed it.
    fs::metadata(folder)?;
    Ok(lock)
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

/// Ends and removes every container of the engine whose state is in `folder`, which is a runner's
/// or holds those of runners; whether none is left.
fn end_all(engine: Option<&Engine>, folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let mut roots = if name.starts_with(RUNNER) {
        vec![folder.to_owned()]
    } else {
        folders(folder, RUNNER)
    }
    .into_iter();
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
    let state = engine.state();
    let own = match state {
        State::Private(own) => own,
        State::Shared => &[],
    };
    // Another engine's state says nothing to this one, which would find no container in it.
    let is_known = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| {
            let mut known = own.iter().chain([&WORKSHOP]);
            known.any(|known| entry.file_name() == *known)
        })
    };
    if !entries.all(is_known) {
        return false;
    }
    if state == State::Shared {
        // A daemon's containers are not in this folder.
        return true;
    }
    let remove_now = engine.remove_now();
    let cli = Cli::new(engine);
    let done = |verb, args: &[&str]| {
        let finished = cli.run(verb, args, None).ok()?;
        finished.status.success().then(|| finished.out())
    };
    // Removes what it sees; whether that was nothing.
    let sees_none = || {
        let ids = done("ps", &["-a", "-q"])?;
        let mut ids = ids.split_whitespace().peekable();
        let none = ids.peek().is_none();
        ids.all(|id| done("rm", &[remove_now, &[id]].concat()).is_some())
            .then_some(none)
    };
    for _ in 0..LOOKS {
        match sees_none() {
            Some(true) => return true,
            // One may have been under way meanwhile.
            Some(false) => {}
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_what_nobody_holds_is_removed_and_its_containers_first() {
        let parent = tempfile::tempdir().unwrap();
        let living = EngineFolder::make(parent.path(), None).unwrap();
        let abandoned = parent.path().join(format!("{CELL}killed"));
        fs::create_dir_all(abandoned.join(format!("{RUNNER}x/keel"))).unwrap();
        let podmans = parent.path().join(format!("{CELL}podman"));
        fs::create_dir_all(podmans.join(format!("{RUNNER}y/storage"))).unwrap();
        let killed_runner = parent.path().join(format!("{RUNNER}killed"));
        fs::create_dir_all(killed_runner.join(WORKSHOP)).unwrap();
        let living_runner = HeldFolder::for_runner(parent.path()).unwrap();
        let foreign = parent.path().join("thesis");
        fs::create_dir(&foreign).unwrap();
        let program = parent.path().join("keel");
        let calls = parent.path().join("calls");
        // Two containers, which it has until they are removed.
        let script = format!(
            "#!/bin/sh\nshift 2\necho \"$*\" >>{calls}\n\
             [ \"$1\" = ps ] && [ \"$(grep -c rm {calls})\" -lt 2 ] && echo c1 c2\nexit 0\n",
            calls = calls.display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let engine = Engine {
            kind: EngineKind::Keel,
            program,
        };

        sweep(parent.path(), Some(&engine));

        assert!(living.path().exists() && living_runner.path().exists());
        assert!(foreign.exists() && podmans.exists());
        assert!(!abandoned.exists() && !killed_runner.exists());
        let ended = "ps -a -q\nrm -f c1\nrm -f c2\nps -a -q\n";
        assert_eq!(
            fs::read_to_string(&calls).unwrap(),
            format!("{ended}ps -a -q\n")
        );

        // A suite that was interrupted ends as one that was killed, only at once.
        let interrupted = EngineFolder::make(parent.path(), Some(engine)).unwrap();
        let path = interrupted.path().to_owned();
        fs::create_dir_all(path.join(format!("{RUNNER}z/keel"))).unwrap();
        fs::remove_file(&calls).unwrap();
        drop(interrupted);
        assert!(!path.exists());
        assert_eq!(fs::read_to_string(&calls).unwrap(), ended);
    }

    #[test]
    fn a_folder_in_the_making_is_not_taken_for_abandoned() {
        let parent = tempfile::tempdir().unwrap();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    sweep(parent.path(), None);
                }
            });
            let made: Vec<_> = (0..200)
                .map(|_| HeldFolder::for_runner(parent.path()).unwrap())
                .collect();
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(made.iter().all(|folder| folder.path().exists()));
        });
    }

    #[test]
    fn the_state_of_containers_that_can_not_be_removed_stays() {
        let parent = tempfile::tempdir().unwrap();
        let abandoned = parent.path().join(format!("{CELL}killed"));
        fs::create_dir_all(abandoned.join(format!("{RUNNER}x/keel"))).unwrap();
        let engine = Engine {
            kind: EngineKind::Keel,
            program: "/bin/false".into(),
        };
        sweep(parent.path(), Some(&engine));
        assert!(abandoned.exists());
    }
}
