//! One container as its files have it, put right where its makers died.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::fcntl::FlockArg;

use super::config::Config;
use super::id::ContainerId;
use super::name::Name;
use super::state::{Incarnation, LOST, State, Status};
use super::store::{Durability, Hold, replace_json};
use super::{Containers, Error, clock, store};
use crate::runtime::ExitStatus;
use crate::runtime::cgroup::Cgroup;
use crate::storage::{Storage, Tree, TreeName};

/// The newest file of a container's log.
pub(super) const LOG: &str = "log.ndjson";

/// What follows a container's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Over,
    /// Its monitor starts it again.
    Restart,
}

/// One container, as it was when it was looked up.
#[derive(Debug)]
pub struct Container {
    root: PathBuf,
    folder: PathBuf,
    /// What its tree is called: as its folder was, before any renaming.
    tree: String,
    config: Config,
    state: State,
}

impl Container {
    /// One that was just made.
    pub(super) fn new(root: &Path, folder: PathBuf, config: Config) -> Self {
        let tree = config.tree.clone().unwrap_or_else(|| {
            let name = folder.file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        });
        Self {
            root: root.to_owned(),
            folder,
            tree,
            config,
            state: State::created(),
        }
    }

    /// Reads a container's folder. `None` when there is no container in it (yet, or any more).
    pub(super) fn read(root: &Path, folder: PathBuf) -> Result<Option<Self>, Error> {
        let path = folder.join("config.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        let damaged = |source| Error::Damaged { path, source };
        let mut config: Config = serde_json::from_slice(&bytes).map_err(damaged)?;
        // The folder's name is the name: renaming it is one step.
        config.name = store::name_of(&folder).unwrap_or(config.name);
        let mut container = Self::new(root, folder, config);
        container.refresh()?;
        if container.is_lost() {
            return container.bury();
        }
        Ok(Some(container))
    }

    /// Its id.
    pub fn id(&self) -> &ContainerId {
        &self.config.id
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.config.name
    }

    /// What was asked.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What became of it.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keel's root folder.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Its log: Docker's json-file format.
    pub fn log_path(&self) -> PathBuf {
        self.folder.join(LOG)
    }

    /// What its tree is called.
    pub(super) fn tree_name(&self) -> &str {
        &self.tree
    }

    pub(super) fn tree(&self) -> Result<TreeName, Error> {
        Ok(TreeName::new(self.tree_name())?)
    }

    /// The storage that keeps its tree, whatever driver is the default now.
    pub(super) fn storage(&self) -> Result<Storage, Error> {
        Ok(Storage::open(
            &self.root,
            Some(self.config.driver.parse()?),
        )?)
    }

    /// How well its files must be kept.
    pub(super) fn durability(&self) -> Durability {
        if self.config.host.auto_remove {
            Durability::Volatile
        } else {
            Durability::Durable
        }
    }

    /// Follows its folder if that was renamed meanwhile.
    fn follow(&mut self) {
        let folder = std::mem::take(&mut self.folder);
        self.folder = store::moved(folder);
        if let Some(name) = store::name_of(&self.folder) {
            self.config.name = name;
        }
    }

    /// Records what its tree is called, before its folder is called otherwise.
    pub(super) fn pin_tree(&mut self) -> Result<(), Error> {
        let tree = self.tree.clone();
        self.reconfigure(|config| config.tree = Some(tree))
    }

    /// Changes what was asked for it. Only whoever holds the lock over names does that.
    pub(super) fn reconfigure(&mut self, change: impl FnOnce(&mut Config)) -> Result<(), Error> {
        self.follow();
        // Somebody else may have changed it since it was read here.
        let path = self.folder.join("config.json");
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        let damaged = |source| Error::Damaged { path, source };
        let mut config: Config = serde_json::from_slice(&bytes).map_err(damaged)?;
        config.name = self.config.name.clone();
        change(&mut config);
        replace_json(&self.folder, "config.json", &config, self.durability())?;
        self.config = config;
        Ok(())
    }

    /// Reads what became of it meanwhile.
    pub(super) fn refresh(&mut self) -> Result<(), Error> {
        self.follow();
        let path = self.folder.join("state.json");
        self.state = match fs::read(&path) {
            Ok(bytes) => {
                let damaged = |source| Error::Damaged { path, source };
                serde_json::from_slice(&bytes).map_err(damaged)?
            }
            Err(error) if is_absence(&error) => State::created(),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        Ok(())
    }

    /// Records what becomes of it. Only whoever holds its folder does that.
    pub(super) fn record(&mut self, state: State) -> Result<(), Error> {
        replace_json(&self.folder, "state.json", &state, self.durability())?;
        self.state = state;
        Ok(())
    }

    /// Whether it is said to run and does not.
    fn is_lost(&self) -> bool {
        let process = self.state.process.as_ref();
        match self.state.status {
            Status::Running => !process.is_some_and(Incarnation::lives),
            // Unless somebody holds its folder.
            Status::Restarting => true,
            Status::Created | Status::Exited => false,
        }
    }

    /// Records the end of a container whose monitor was killed. `None` when that removed it.
    fn bury(mut self) -> Result<Option<Self>, Error> {
        // Held: its monitor lives and is about to record the end itself.
        let Some(hold) = Hold::try_take(&self.folder)? else {
            return Ok(Some(self));
        };
        self.refresh()?;
        if !self.is_lost() {
            return Ok(Some(self));
        }
        let ended = match self.state.status {
            Status::Restarting => State {
                status: Status::Exited,
                error: "whoever was to start it again was killed, or the machine restarted"
                    .to_owned(),
                ..self.state.clone()
            },
            Status::Running | Status::Created | Status::Exited => State {
                error: "whoever ran it was killed, or the machine restarted, so its exit code is \
                        not known"
                    .to_owned(),
                ..self.state.clone().exited(LOST, clock::now())
            },
        };
        if self.state.status == Status::Running {
            self.tell_end(ended.exit_code);
        }
        self.record(ended)?;
        self.release()?;
        if self.config.host.auto_remove {
            self.remove_from(&self.storage()?)?;
            return Ok(None);
        }
        drop(hold);
        Ok(Some(self))
    }

    /// Records its end, and gives back what a running container has. Only whoever holds its
    /// folder does that.
    pub(super) fn end(
        &mut self,
        status: ExitStatus,
        storage: &Storage,
        cgroup: Option<&Cgroup>,
        next: Next,
    ) -> Result<(), Error> {
        self.follow();
        let oom_killed = cgroup.is_some_and(|cgroup| cgroup.oom_kills().is_ok_and(|n| n > 0));
        if oom_killed {
            self.tell("oom", &[]);
        }
        self.tell_end(status.code());
        if self.config.host.auto_remove {
            // It is about to be removed: only somebody who waits for the code wants it.
            tell_waiter(&self.folder, status.code()).map_err(Error::io("write", &self.folder))?;
        } else {
            let mut ended = self.state.clone().exited(status.code(), clock::now());
            ended.oom_killed = oom_killed;
            self.record(match next {
                Next::Over => ended,
                Next::Restart => ended.to_be_restarted(),
            })?;
        }
        if let Some(cgroup) = cgroup {
            cgroup
                .remove()
                .map_err(|error| Error::Runtime(error.into()))?;
        }
        if self.config.host.auto_remove {
            return Ok(()); // Removing the tree unmounts it.
        }
        Ok(storage.driver().unmount(&self.tree()?)?)
    }

    /// Gives back what a container has whose monitor was killed: control group and mount.
    pub(super) fn release(&self) -> Result<(), Error> {
        let path = self.cgroup().ok();
        if let Some(cgroup) = path.and_then(|path| Cgroup::open(&path).ok()) {
            cgroup
                .remove()
                .map_err(|error| Error::Runtime(error.into()))?;
        }
        Ok(self.storage()?.driver().unmount(&self.tree()?)?)
    }

    /// Removes its tree and then its folder, which the caller holds. Interrupted, it can be done
    /// again. What removes itself takes along the volumes that were made for it alone.
    pub(super) fn remove_from(&mut self, storage: &Storage) -> Result<(), Error> {
        storage.driver().remove(Tree::Container(&self.tree()?))?;
        self.follow();
        match fs::remove_dir_all(&self.folder) {
            Err(error) if !is_absence(&error) => {
                return Err(Error::io("remove", &self.folder)(error));
            }
            _ => {}
        }
        self.tell("destroy", &[]);
        let volumes = self.volume_names();
        if self.config.host.auto_remove && !volumes.is_empty() {
            return Containers::new(&self.root).remove_anonymous(&volumes);
        }
        Ok(())
    }

    fn tell_end(&self, code: u8) {
        let started = self.state.started.as_ref();
        let started = started.and_then(|time| time.parse::<Timestamp>().ok());
        let ran = started.map_or(0, |started| {
            Timestamp::now().duration_since(started).as_secs()
        });
        let details = [
            ("exitCode", &*code.to_string()),
            ("execDuration", &*ran.to_string()),
        ];
        self.tell("die", &details);
    }

    /// Waits until nobody runs it any more, and takes its folder. `None`: it is gone.
    pub(super) fn hold(&self, how: FlockArg) -> Result<Option<Hold>, Error> {
        match Hold::take(&self.folder, how) {
            Ok(hold) => Ok(Some(hold)),
            Err(Error::Io { source, .. }) if is_absence(&source) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The exit code of a container that is removed at its end, for whoever opened the file before.
const EXIT_CODE: &str = "exit-code";

fn tell_waiter(folder: &Path, code: u8) -> io::Result<()> {
    match fs::OpenOptions::new()
        .write(true)
        .open(folder.join(EXIT_CODE))
    {
        Ok(mut file) => writeln!(file, "{code}"),
        Err(error) if is_absence(&error) => Ok(()), // Nobody waits.
        Err(error) => Err(error),
    }
}

/// What is left of a container that removes itself, for somebody who waits for its end.
#[derive(Debug)]
pub(super) struct LastWord(fs::File);

impl LastWord {
    /// Asks for it beforehand. `None`: the container is gone.
    pub(super) fn expect(folder: &Path) -> io::Result<Option<Self>> {
        let mut options = fs::OpenOptions::new();
        match options
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(folder.join(EXIT_CODE))
        {
            Ok(file) => Ok(Some(Self(file))),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads it, when the container has ended.
    pub(super) fn read(mut self) -> Option<u8> {
        let mut text = String::new();
        self.0.read_to_string(&mut text).ok()?;
        text.trim_end().parse().ok()
    }
}

fn is_absence(error: &io::Error) -> bool {
    // NotADirectory: somebody put a file in the folder's place.
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
