//! The folder of all containers, `ROOT/containers`: names beside ids, plain files.
//!
//! ```text
//! containers/lock                     held while a name is taken or given up
//! containers/NAME-SHORTID/            locked by whoever runs the container, as long as it runs
//!              config.json            what was asked; without it there is no container
//!              state.json             what became of it; replaced at once as a whole
//!              hostname, hosts, resolv.conf
//!              log.ndjson             its output, in Docker's json-file format
//! ```
//!
//! The kernel gives a dead process's locks back, so a `state.json` that says `running` in a
//! folder that nobody holds is out of date, and whoever reads it puts it right.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;

use super::config::Config;
use super::id::{self, ContainerId, SHORT_LEN};
use super::name::Name;
use super::state::{Incarnation, State};
use super::{Container, Error};
use crate::image::digest::ImageId;
use crate::storage::{Storage, Tree, TreeName, sync_folder};

/// All containers of one root folder.
#[derive(Debug, Clone)]
pub struct Containers {
    root: PathBuf,
    folder: PathBuf,
}

/// Whether a file must outlive a power failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// On the disk when the call returns.
    Durable,
    /// Of a container that is removed at its end anyway.
    Volatile,
}

/// A folder that was made for a container and holds nothing yet. Unless it is published, the
/// folder goes away again.
#[derive(Debug)]
pub(super) struct Reserved {
    folder: PathBuf,
    pub(super) name: Name,
    hold: Hold,
}

/// The lock of a container's folder.
#[derive(Debug)]
pub(super) struct Hold(Flock<File>);

/// A folder's name, taken apart.
struct Entry {
    folder: String,
}

impl Entry {
    fn parse(folder: String) -> Option<Self> {
        let at = folder.len().checked_sub(SHORT_LEN + 1)?;
        let (name, short) = (folder.get(..at)?, folder.get(at..)?.strip_prefix('-')?);
        let fits = id::is_prefix(short) && name.parse::<Name>().is_ok();
        fits.then_some(Self { folder })
    }

    fn name(&self) -> &str {
        let at = self.folder.len() - SHORT_LEN - 1;
        self.folder.get(..at).unwrap_or_default()
    }

    fn short(&self) -> &str {
        let at = self.folder.len() - SHORT_LEN;
        self.folder.get(at..).unwrap_or_default()
    }
}

impl Containers {
    /// Those below keel's root folder. Nothing is read or made yet.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            folder: root.join("containers"),
        }
    }

    /// Keel's root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn entries(&self) -> Result<Vec<Entry>, Error> {
        let list = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            list => list.map_err(Error::io("list", &self.folder))?,
        };
        let mut entries = Vec::new();
        for entry in list {
            let entry = entry.map_err(Error::io("list", &self.folder))?;
            let name = entry.file_name().into_string().ok();
            entries.extend(name.and_then(Entry::parse));
        }
        Ok(entries)
    }

    /// The folders of all containers, also of those whose making was cut short.
    pub(super) fn folders(&self) -> Result<Vec<PathBuf>, Error> {
        let entries = self.entries()?.into_iter();
        Ok(entries
            .map(|entry| self.folder.join(entry.folder))
            .collect())
    }

    /// The first processes of those that run. Nothing is changed, whatever became of the others.
    pub fn first_processes(&self) -> Vec<u32> {
        let state = |folder: PathBuf| {
            let text = fs::read(folder.join("state.json")).ok()?;
            serde_json::from_slice::<State>(&text).ok()?.process
        };
        let folders = self.folders().unwrap_or_default().into_iter();
        let processes = folders.filter_map(state);
        let living = processes.filter(Incarnation::lives);
        living.map(|process| process.pid).collect()
    }

    /// Removes the tree of a container that is gone.
    pub(super) fn remove_tree(&self, tree: &Path) -> Result<(), Error> {
        let part = |path: Option<&Path>| {
            let name = path.and_then(Path::file_name).unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        let driver = part(tree.parent().and_then(Path::parent));
        let storage = Storage::open(&self.root, Some(driver.parse()?))?;
        let name = TreeName::new(part(Some(tree)))?;
        Ok(storage.driver().remove(Tree::Container(&name))?)
    }

    /// All containers, the newest first.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Damaged`] when a file of one of them was tampered with.
    pub fn list(&self) -> Result<Vec<Container>, Error> {
        let mut all = Vec::new();
        for entry in self.entries()? {
            all.extend(Container::read(
                self.root(),
                self.folder.join(entry.folder),
            )?);
        }
        all.sort_by(|a, b| b.config().created.cmp(&a.config().created));
        Ok(all)
    }

    /// The names of the containers that were made from an image.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn users_of(&self, image: &ImageId) -> Result<Vec<String>, Error> {
        let id = image.to_string();
        let users = self.list()?.into_iter();
        let users = users.filter(|container| container.config().image.id == id);
        Ok(users
            .map(|container| container.name().to_string())
            .collect())
    }

    /// The container of this name, or whose id starts so.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ambiguous`], and as [`list`](Self::list).
    pub fn find(&self, given: &str) -> Result<Container, Error> {
        let not_found = || Error::NotFound(given.to_owned());
        let mut entries = self.entries()?;
        if entries.iter().any(|entry| entry.name() == given) {
            entries.retain(|entry| entry.name() == given);
        } else {
            // Folders know twelve digits; the rest is compared below.
            let short = given.get(..SHORT_LEN.min(given.len())).unwrap_or(given);
            entries.retain(|entry| id::is_prefix(given) && entry.short().starts_with(short));
        }
        let mut found = Vec::new();
        for entry in entries {
            let container = Container::read(self.root(), self.folder.join(&entry.folder))?;
            found.extend(container.filter(|container| {
                container.name().as_str() == given || container.id().as_str().starts_with(given)
            }));
        }
        if found.len() > 1 {
            let folder = |found: &Container| folder_name(found.name(), found.id());
            let candidates = found.iter().map(folder).collect();
            return Err(Error::Ambiguous {
                given: given.to_owned(),
                candidates,
            });
        }
        found.pop().ok_or_else(not_found)
    }

    /// Takes a name, or chooses one, and makes the folder.
    pub(super) fn reserve(&self, id: &ContainerId, name: Option<Name>) -> Result<Reserved, Error> {
        let lock = self.lock()?;
        let entries = self.entries()?;
        let name = match name {
            Some(name) => self.free(&entries, name)?,
            None => (0..=u32::MAX)
                .map(|attempt| Name::for_container(id, attempt))
                .find(|name| holder(&entries, name).is_none())
                .ok_or_else(|| Error::NotFound(String::new()))?,
        };
        let folder = self.folder.join(folder_name(&name, id));
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(Error::io("create", &folder))?;
        let hold = Hold::take(&folder, FlockArg::LockExclusiveNonblock)?;
        drop(lock);
        Ok(Reserved { folder, name, hold })
    }

    /// The name, if no container has it.
    fn free(&self, entries: &[Entry], name: Name) -> Result<Name, Error> {
        if let Some(entry) = holder(entries, &name) {
            let folder = self.folder.join(&entry.folder);
            if !remove_leftover(&folder)? {
                let holder = entry.short().to_owned();
                return Err(Error::NameTaken { name, holder });
            }
        }
        Ok(name)
    }

    /// Gives a container another name. Whoever runs it finds its folder again by its id.
    ///
    /// # Errors
    /// [`Error::NameTaken`]; [`Error::Io`].
    pub fn rename(&self, mut container: Container, name: &Name) -> Result<(), Error> {
        let _lock = self.lock()?;
        container.refresh()?;
        if container.name() == name {
            return Err(Error::NameTaken {
                name: name.clone(),
                holder: container.id().short().to_owned(),
            });
        }
        let name = self.free(&self.entries()?, name.clone())?;
        // The tree keeps the name that it was made with. That is on the disk before the folder has
        // another name: renaming is then one step, done or not done.
        container.pin_tree()?;
        let folder = folder_name(&name, container.id());
        let target = self.folder.join(folder);
        fs::rename(container.folder(), &target).map_err(Error::io("rename", container.folder()))?;
        sync_folder(&self.folder)?;
        let old_name = format!("/{}", container.name());
        container.refresh()?;
        container.tell("rename", &[("oldName", &old_name)]);
        Ok(())
    }

    /// Changes what was asked for a container: reads it, lets `change` at it, and writes it, while
    /// nobody else does.
    pub(super) fn reconfigure(
        &self,
        container: &mut Container,
        change: impl FnOnce(&mut Config),
    ) -> Result<(), Error> {
        let _lock = self.lock()?;
        container.reconfigure(change)
    }

    /// The lock over names; makes the folder when it is not there.
    pub(super) fn lock(&self) -> Result<Hold, Error> {
        let path = self.folder.join("lock");
        let open = || {
            File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
        };
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // For root alone (CVE-2021-41091).
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&self.folder)
                    .map_err(Error::io("create", &self.folder))?;
                open()
            }
            file => file,
        };
        let file = file.map_err(Error::io("open", &path))?;
        Hold::of(file, &path, FlockArg::LockExclusive)
    }
}

impl Hold {
    /// Locks a container's folder.
    pub(super) fn take(folder: &Path, how: FlockArg) -> Result<Self, Error> {
        let file = File::open(folder).map_err(Error::io("open", folder))?;
        Self::of(file, folder, how)
    }

    fn of(mut file: File, path: &Path, how: FlockArg) -> Result<Self, Error> {
        loop {
            match Flock::lock(file, how) {
                Ok(lock) => return Ok(Self(lock)),
                Err((again, nix::Error::EINTR)) => file = again,
                Err((_, errno)) => return Err(Error::io("lock", path)(errno)),
            }
        }
    }

    /// Locks a container's folder unless somebody else has.
    pub(super) fn try_take(folder: &Path) -> Result<Option<Self>, Error> {
        match Self::take(folder, FlockArg::LockExclusiveNonblock) {
            Ok(hold) => Ok(Some(hold)),
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The descriptor that carries the lock, for another process to inherit: it holds the lock
    /// then, for as long as it lives.
    pub(super) fn hand_over(self) -> io::Result<File> {
        let file = self.0.try_clone();
        // Unlocking would take the lock from every process that has it.
        std::mem::forget(self.0);
        file
    }
}

fn holder<'a>(entries: &'a [Entry], name: &Name) -> Option<&'a Entry> {
    entries.iter().find(|entry| entry.name() == name.as_str())
}

fn folder_name(name: &Name, id: &ContainerId) -> String {
    format!("{name}-{}", id.short())
}

/// The name in the name of a container's folder.
pub(super) fn name_of(folder: &Path) -> Option<Name> {
    let entry = Entry::parse(folder.file_name()?.to_str()?.to_owned())?;
    entry.name().parse().ok()
}

/// Where a container's folder is now, if it was renamed; else `folder` itself.
pub(super) fn moved(folder: PathBuf) -> PathBuf {
    if folder.is_dir() {
        return folder;
    }
    let find = || {
        let old = Entry::parse(folder.file_name()?.to_str()?.to_owned())?;
        let mut all = fs::read_dir(folder.parent()?).ok()?.flatten();
        let found = all.find_map(|entry| {
            let entry = Entry::parse(entry.file_name().into_string().ok()?)?;
            (entry.short() == old.short()).then_some(entry.folder)
        })?;
        Some(folder.with_file_name(found))
    };
    find().unwrap_or(folder)
}

/// Removes a folder whose making was cut short: nobody holds it and it was never published.
pub(super) fn remove_leftover(folder: &Path) -> Result<bool, Error> {
    if folder.join("config.json").exists() {
        return Ok(false);
    }
    let Some(_hold) = Hold::try_take(folder)? else {
        return Ok(false);
    };
    fs::remove_dir_all(folder).map_err(Error::io("remove", folder))?;
    Ok(true)
}

impl Reserved {
    /// Makes the container known: from here on it is listed.
    pub(super) fn publish(
        self,
        root: &Path,
        config: Config,
        durability: Durability,
    ) -> Result<(Container, Hold), Error> {
        replace_json(&self.folder, "config.json", &config, durability)?;
        Ok((Container::new(root, self.folder, config), self.hold))
    }

    /// Gives the folder up again.
    pub(super) fn abandon(self) {
        // What stays is a leftover, which the next to want the name removes.
        drop(fs::remove_dir_all(&self.folder));
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Replaces a file at once as a whole: a reader sees the old one or the new one.
pub(super) fn replace_json(
    folder: &Path,
    name: &str,
    value: &impl Serialize,
    durability: Durability,
) -> Result<(), Error> {
    let (path, new) = (folder.join(name), folder.join(format!("{name}.new")));
    let write = || -> io::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(value)?;
        bytes.push(b'\n');
        let mut file = File::create(&new)?;
        file.write_all(&bytes)?;
        if durability == Durability::Durable {
            file.sync_all()?;
        }
        fs::rename(&new, &path)?;
        if durability == Durability::Durable {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(Error::io("write", &path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserve(containers: &Containers, name: Option<&str>) -> Result<Reserved, Error> {
        let name = name.map(|name| name.parse().unwrap());
        containers.reserve(&ContainerId::random().unwrap(), name)
    }

    #[test]
    fn a_name_is_given_once() {
        let root = tempfile::tempdir().unwrap();
        let containers = Containers::new(root.path());
        let first = reserve(&containers, Some("web")).unwrap();
        let refused = reserve(&containers, Some("web"));
        assert!(
            matches!(refused, Err(Error::NameTaken { holder, .. }) if first.folder().ends_with(format!("web-{holder}")))
        );
        assert!(reserve(&containers, Some("web-1")).is_ok());
    }

    #[test]
    fn a_name_whose_taker_was_killed_is_free_again() {
        let root = tempfile::tempdir().unwrap();
        let containers = Containers::new(root.path());
        drop(reserve(&containers, Some("web")).unwrap());
        assert!(reserve(&containers, Some("web")).is_ok());
    }

    #[test]
    fn folders_that_are_not_ours_are_no_containers() {
        let root = tempfile::tempdir().unwrap();
        let containers = Containers::new(root.path());
        for name in [
            "lost+found",
            "web",
            "-0123456789ab",
            "web-0123456789aX",
            "é-0123456789a",
        ] {
            fs::create_dir_all(root.path().join("containers").join(name)).unwrap();
        }
        assert!(containers.list().unwrap().is_empty());
        assert!(matches!(containers.find("web"), Err(Error::NotFound(_))));
    }

    #[test]
    fn chosen_names_differ() {
        let root = tempfile::tempdir().unwrap();
        let containers = Containers::new(root.path());
        let id = ContainerId::random().unwrap();
        let first = containers.reserve(&id, None).unwrap();
        let twin =
            ContainerId::try_from(format!("{}{}", "0".repeat(12), &id.as_str()[12..])).unwrap();
        assert_ne!(containers.reserve(&twin, None).unwrap().name, first.name);
    }
}
