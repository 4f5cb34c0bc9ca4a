//! Making a container: what was asked becomes a folder and a tree.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::config::{
    Config, HostConfig, ImageDefaults, ImageUsed, ProcessConfig, ProcessWishes, SCHEMA,
};
use super::id::ContainerId;
use super::name::Name;
use super::options::Seccomp;
use super::store::{Durability, Hold};
use super::{Container, Containers, Error, clock, group, volumes};
use crate::image::digest::ChainId;
use crate::storage::{Storage, Tree, TreeName};

/// What a container is made of.
#[derive(Debug)]
pub struct Request {
    /// `None`: one is chosen.
    pub name: Option<Name>,
    /// Where its id is written; the file must not be there yet.
    pub id_file: Option<PathBuf>,
    /// The image, as it is recorded.
    pub image: ImageUsed,
    /// The image's topmost layer; `None`: it has none.
    pub top_layer: Option<ChainId>,
    /// What the image suggests.
    pub defaults: ImageDefaults,
    /// What the user wants other than that.
    pub wishes: ProcessWishes,
    /// What surrounds the command. The place among the control groups is a parent folder still.
    pub host: HostConfig,
}

/// Makes a container and leaves it alone. The caller holds the image store's lock for as long as
/// this takes.
///
/// # Errors
/// When it could not be made; nothing of it stays then.
pub fn create(root: &Path, storage: &Storage, request: Request) -> Result<Container, Error> {
    make(root, storage, request).map(|(container, _hold)| container)
}

/// Makes a container and keeps its folder, to start it. The caller holds the image store's lock
/// for as long as this takes.
pub(super) fn make(
    root: &Path,
    storage: &Storage,
    request: Request,
) -> Result<(Container, Hold), Error> {
    let id = ContainerId::random().map_err(Error::io("read", "/dev/urandom"))?;
    let id_file = match request.id_file {
        Some(path) => Some(IdFile::reserve(path)?),
        None => None,
    };
    let mut defaults = request.defaults;
    let of_image = std::mem::take(&mut defaults.volumes);
    let process = ProcessConfig::new(defaults, request.wishes, &id, |name| {
        std::env::var(name).ok()
    });
    if process.entrypoint.is_empty() && process.cmd.is_empty() {
        return Err(Error::NoCommand(request.image.reference));
    }
    let mut host = request.host;
    group::settle(&mut host, &id)?;
    if let Seccomp::Profile(path) = &mut host.seccomp {
        // The container may be looked at from another folder later.
        *path = path
            .canonicalize()
            .map_err(Error::io("read", path.clone()))?;
    }
    volumes::settle(root, &mut host, of_image)?;
    let made = volumes::make(root, &mut host)?;
    let reserved = Containers::new(root).reserve(&id, request.name)?;
    let durability = if host.auto_remove {
        Durability::Volatile
    } else {
        Durability::Durable
    };
    let config = Config {
        schema: SCHEMA.to_owned(),
        id,
        name: reserved.name.clone(),
        created: clock::now(),
        image: request.image,
        driver: storage.driver().name().to_string(),
        tree: None,
        process,
        host,
    };
    let tree = reserved.folder().file_name().unwrap_or_default();
    let tree = TreeName::new(tree.to_string_lossy())?;
    if let Err(error) = storage.driver().create(&tree, request.top_layer.as_ref()) {
        reserved.abandon();
        return Err(error.into());
    }
    if made.is_some() {
        if let Err(error) = volumes::copy_up(root, &config.host, storage, &tree) {
            // The reason that matters is the first one.
            drop(storage.driver().remove(Tree::Container(&tree)));
            reserved.abandon();
            return Err(error);
        }
    }
    let (container, hold) = reserved.publish(root, config, durability)?;
    if let Some(file) = id_file {
        file.keep(container.id())?;
    }
    container.tell("create", &[]);
    Ok((container, hold))
}

/// The file of `--cidfile`, which goes away again unless there is an id to write into it.
struct IdFile {
    path: PathBuf,
    file: Option<File>,
}

impl IdFile {
    /// Takes the path before anything is made, as two containers must not share one.
    fn reserve(path: PathBuf) -> Result<Self, Error> {
        let file = File::create_new(&path).map_err(Error::io("create the id file", &path))?;
        Ok(Self {
            path,
            file: Some(file),
        })
    }

    fn keep(mut self, id: &ContainerId) -> Result<(), Error> {
        let Some(mut file) = self.file.take() else {
            return Ok(());
        };
        // As Docker writes it: without the end of a line.
        let written = file.write_all(id.as_str().as_bytes());
        written.map_err(Error::io("write", &self.path))
    }
}

impl Drop for IdFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            // That the container could not be made is what the caller needs to hear.
            drop(fs::remove_file(&self.path));
        }
    }
}
