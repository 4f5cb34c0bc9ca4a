//! The image store: configurations by id, names that point to them, and the storage of layers.
//!
//! On the disk, under keel's root:
//!
//! ```text
//! images/lock                               held shared to use images, exclusively to remove them
//! images/ids/HEX/config.json                an image by its id: the configuration, byte for byte
//!               /image.json                 its layers and when it came here
//!               /origin.json                the registry that has it, and its manifest there
//! images/names/REGISTRY/PATH:TAG            a link to the folder of the image with that name
//! images/build-cache/HEX.json               what a step of a build came to
//! images/staging/                           unfinished work, free to be removed
//! ```

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::image::config::{ConfigError, ImageConfig};
use crate::image::digest::{ChainId, DiffId, Digest, ImageId};
use crate::image::layer::{LayerTar, RebuildError};
use crate::image::names::Names;
use crate::image::origin::Origin;
use crate::image::reference::Reference;
use crate::storage::{DriverName, Staging, Storage, StorageError, sync_folder};

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A system call on a file failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Storage could not.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// No image has this name or id.
    #[error(
        "no image is called `{0}`: `keel images` lists them, `keel load` and `keel import` add some"
    )]
    NotFound(String),
    /// Several ids start so.
    #[error("`{0}` is the start of several image ids: write more figures")]
    Ambiguous(String),
    /// The store's own files are not as they were written.
    #[error(
        "image {id} is damaged: {what}; remove it with `keel rmi --force {id}` and load it again"
    )]
    Damaged {
        /// The image.
        id: ImageId,
        /// What is wrong.
        what: &'static str,
    },
    /// The configuration cannot be used.
    #[error("image {id} cannot be used")]
    Config {
        /// The image.
        id: ImageId,
        /// Why.
        #[source]
        source: ConfigError,
    },
    /// Containers were made from it.
    #[error("image `{image}` is used by {}: remove the container first, or use `--force` to remove the name only", containers.join(", "))]
    InUse {
        /// The image, as it was called.
        image: String,
        /// The containers' names.
        containers: Vec<String>,
    },
    /// An id with several names was to be removed.
    #[error("image {id} has several names ({}): remove them one by one, or use `--force`", names.join(", "))]
    SeveralNames {
        /// The image.
        id: ImageId,
        /// The names.
        names: Vec<String>,
    },
    /// The containers could not be asked.
    #[error("cannot tell which containers use the image")]
    Users(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    pub(super) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source: source.into(),
        }
    }
}

/// An image in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// Its configuration.
    pub config: ImageConfig,
    /// Its layers, lowest first.
    pub layers: Vec<StoredLayer>,
    /// When it was loaded, RFC 3339.
    pub loaded: String,
}

impl Image {
    /// The chain id of the uppermost layer: what a container's tree is made on. `None` if the
    /// image has no layers.
    pub fn top(&self) -> Option<&ChainId> {
        self.layers.last().map(|layer| &layer.chain_id)
    }

    /// Bytes of all layers' files.
    pub fn bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.bytes).sum()
    }
}

/// A layer of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLayer {
    /// The digest of its uncompressed tar.
    pub diff_id: DiffId,
    /// Its identity on top of the layers below.
    pub chain_id: ChainId,
    /// Bytes of the files that it brings.
    pub bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct ImageRecord {
    schema: String,
    id: ImageId,
    loaded: String,
    layers: Vec<StoredLayer>,
}

const IMAGE_SCHEMA: &str = "keel.image/1";
const ORIGIN: &str = "origin.json";

/// Whether to do what takes something away that is still of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Do it.
    Yes,
    /// Refuse.
    No,
}

/// What a removal took away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name.
    Name(Reference),
    /// An image.
    Image(ImageId),
    /// A layer that no other image needs.
    Layer(ChainId),
}

/// Who uses an image: names of containers.
pub type Users<'a> =
    &'a dyn Fn(&ImageId) -> Result<Vec<String>, Box<dyn std::error::Error + Send + Sync>>;

/// A hold on the store. While a shared one is held no image and no layer goes; hold one from
/// finding an image until the container that uses it is on record.
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "its end releases the lock")] Flock<File>);

/// The image store of one root folder.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    names: Names,
    staging: Staging,
    storage: Storage,
}

impl Store {
    /// The store below keel's root folder; made when it is not there. `driver` is as in
    /// [`Storage::open`].
    pub fn open(root: &Path, driver: Option<DriverName>) -> Result<Self, StoreError> {
        let folder = root.join("images");
        if !folder.join("staging").is_dir() {
            for part in ["ids", "names", "staging"] {
                let part = folder.join(part);
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&part)
                    .map_err(StoreError::io("create", &part))?;
            }
        }
        Ok(Self {
            names: Names::new(folder.join("names")),
            staging: Staging::new(folder.join("staging")),
            storage: Storage::open(root, driver)?,
            folder,
        })
    }

    /// The layers' storage.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Where unfinished work of the image side lies.
    pub(crate) fn staging(&self) -> &Staging {
        &self.staging
    }

    /// Keeps all images and layers from being removed.
    pub fn share(&self) -> Result<Hold, StoreError> {
        self.lock(FlockArg::LockShared)
    }

    /// Keeps everybody else from using images and layers.
    pub(super) fn exclude(&self) -> Result<Hold, StoreError> {
        self.lock(FlockArg::LockExclusive)
    }

    /// The folder of all of it.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn lock(&self, how: FlockArg) -> Result<Hold, StoreError> {
        let path = self.folder.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        Flock::lock(file, how)
            .map(Hold)
            .map_err(|(_, errno)| StoreError::io("lock", &path)(errno))
    }

    fn path_of(&self, id: &ImageId) -> PathBuf {
        self.folder.join("ids").join(id.hex())
    }

    /// The image that `text` names: a reference, an id, or the start of one.
    pub fn resolve(&self, text: &str) -> Result<Image, StoreError> {
        self.image(&self.find(text)?.0)
    }

    /// The id, and the name if it was found by one.
    fn find(&self, text: &str) -> Result<(ImageId, Option<Reference>), StoreError> {
        if let Ok(reference) = text.parse::<Reference>() {
            if let Some(id) = self.names.get(&reference)? {
                return Ok((id, Some(reference)));
            }
        }
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(|b| b.is_ascii_hexdigit())
        {
            return Err(StoreError::NotFound(text.chars().take(300).collect()));
        }
        let mut found = self
            .ids()?
            .into_iter()
            .filter(|id| id.hex().starts_with(prefix));
        match (found.next(), found.next()) {
            (Some(id), None) => Ok((id, None)),
            (Some(_), Some(_)) => Err(StoreError::Ambiguous(text.to_owned())),
            (None, _) => Err(StoreError::NotFound(text.to_owned())),
        }
    }

    /// The images that `text` names, and the name of each if it was found by one: all tags of a
    /// repository that is named without a tag, or else as [`resolve`](Self::resolve).
    pub(super) fn named(
        &self,
        text: &str,
    ) -> Result<Vec<(ImageId, Option<Reference>)>, StoreError> {
        if let Some(repository) = Reference::of_repository(text) {
            let tags: Vec<_> = self
                .names
                .list()?
                .into_iter()
                .filter(|(name, _)| name.tag().is_some() && name.is_in(&repository))
                .map(|(name, id)| (id, Some(name)))
                .collect();
            if !tags.is_empty() {
                return Ok(tags);
            }
        }
        Ok(vec![self.find(text)?])
    }

    /// The tar of a layer, as it was unpacked. The caller holds [`share`](Self::share).
    pub(super) fn layer_tar(
        &self,
        layer: &StoredLayer,
    ) -> Result<Result<LayerTar, RebuildError>, StorageError> {
        let folder = self.storage.layer_folder(&layer.chain_id)?;
        Ok(LayerTar::open(&folder, layer.diff_id))
    }

    /// The id that a name stands for.
    pub(super) fn id_of(&self, name: &Reference) -> Result<Option<ImageId>, StoreError> {
        self.names.get(name)
    }

    /// What is stored of the image; none if it is not there, be it removed just now.
    pub fn image_if_there(&self, id: &ImageId) -> Result<Option<Image>, StoreError> {
        match self.image(id) {
            Err(_) if !self.path_of(id).exists() => Ok(None),
            read => read.map(Some),
        }
    }

    /// The image with this id.
    pub fn image(&self, id: &ImageId) -> Result<Image, StoreError> {
        let bytes = self.config_bytes(id)?;
        let config =
            ImageConfig::parse(&bytes).map_err(|source| StoreError::Config { id: *id, source })?;
        let path = self.path_of(id).join("image.json");
        let text = fs::read(&path).map_err(StoreError::io("read", &path))?;
        let damaged = |what| StoreError::Damaged { id: *id, what };
        let record: ImageRecord =
            serde_json::from_slice(&text).map_err(|_| damaged("`image.json` is unreadable"))?;
        if record.id != *id || record.schema != IMAGE_SCHEMA {
            return Err(damaged("`image.json` belongs to something else"));
        }
        if !record.layers.iter().map(|layer| layer.diff_id).eq(config
            .rootfs
            .diff_ids
            .iter()
            .copied())
        {
            return Err(damaged("`image.json` has other layers than `config.json`"));
        }
        Ok(Image {
            id: *id,
            config,
            layers: record.layers,
            loaded: record.loaded,
        })
    }

    /// The configuration's bytes, whose digest is the image's id.
    pub fn config_bytes(&self, id: &ImageId) -> Result<Vec<u8>, StoreError> {
        let path = self.path_of(id).join("config.json");
        let bytes = fs::read(&path).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                StoreError::NotFound(id.to_string())
            } else {
                StoreError::io("read", &path)(error)
            }
        })?;
        if Digest::of(&bytes) != *id.digest() {
            return Err(StoreError::Damaged {
                id: *id,
                what: "`config.json` has another digest",
            });
        }
        Ok(bytes)
    }

    /// The ids of all images, sorted.
    pub fn ids(&self) -> Result<Vec<ImageId>, StoreError> {
        let folder = self.folder.join("ids");
        let mut ids = Vec::new();
        for entry in fs::read_dir(&folder).map_err(StoreError::io("list", &folder))? {
            let entry = entry.map_err(StoreError::io("list", &folder))?;
            let name = entry.file_name();
            if let Some(Ok(digest)) = name.to_str().map(Digest::from_hex) {
                ids.push(ImageId::new(digest));
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// All names and the ids that they stand for, sorted by name.
    pub fn names(&self) -> Result<Vec<(Reference, ImageId)>, StoreError> {
        self.names.list()
    }

    /// Gives an image a name, which it takes from any other image.
    pub fn tag(&self, name: &Reference, id: &ImageId) -> Result<(), StoreError> {
        let _hold = self.share()?;
        if !self.path_of(id).is_dir() {
            return Err(StoreError::NotFound(id.to_string()));
        }
        self.names.set(name, id)
    }

    /// Records an image whose layers are in the storage, and its names. The caller holds
    /// [`share`](Self::share) since before it committed the first layer.
    pub(super) fn put(
        &self,
        config: &[u8],
        layers: Vec<StoredLayer>,
        names: &[Reference],
    ) -> Result<ImageId, StoreError> {
        let id = ImageId::new(Digest::of(config));
        let target = self.path_of(&id);
        if !target.is_dir() {
            let record = ImageRecord {
                schema: IMAGE_SCHEMA.to_owned(),
                id,
                loaded: jiff::Timestamp::now().to_string(),
                layers,
            };
            let staged = self.staging.stage(&id.digest().short())?;
            write_synced(&staged.path().join("config.json"), config)?;
            let mut text = serde_json::to_vec_pretty(&record)
                .map_err(|error| StoreError::io("write", &target)(io::Error::from(error)))?;
            text.push(b'\n');
            write_synced(&staged.path().join("image.json"), &text)?;
            sync_folder(staged.path())?;
            match staged.publish(&target) {
                // Somebody else loaded the same image at the same time.
                Err(_) if target.is_dir() => {}
                result => result?,
            }
        }
        for name in names {
            self.names.set(name, &id)?;
        }
        Ok(id)
    }

    /// Where an image was pulled from or pushed to last, if that is known.
    pub fn origin(&self, id: &ImageId) -> Result<Option<Origin>, StoreError> {
        let path = self.path_of(id).join(ORIGIN);
        match fs::read(&path) {
            // What cannot be made out only saves work.
            Ok(text) => Ok(Origin::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("read", path)(error)),
        }
    }

    /// Notes where an image was pulled from or pushed to.
    pub(super) fn set_origin(&self, id: &ImageId, origin: &Origin) -> Result<(), StoreError> {
        let folder = self.path_of(id);
        let path = folder.join(ORIGIN);
        let staged = self.staging.stage("origin")?;
        let new = staged.path().join(ORIGIN);
        let text = origin
            .to_json()
            .map_err(|error| StoreError::io("write", &path)(io::Error::from(error)))?;
        write_synced(&new, &text)?;
        fs::rename(&new, &path).map_err(StoreError::io("write", &path))?;
        Ok(sync_folder(&folder)?)
    }

    /// Removes the name `text`, and the image when that was its last name; or, if `text` is an
    /// id, the image with all its names. Layers that no other image has go too.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when a container uses the image; with `force` its names go and it
    /// stays. [`StoreError::SeveralNames`] for an id with several names, unless forced.
    pub fn remove(
        &self,
        text: &str,
        force: Force,
        users: Users<'_>,
    ) -> Result<Vec<Removed>, StoreError> {
        let _hold = self.exclude()?;
        let (id, by_name) = self.find(text)?;
        let all: Vec<Reference> = self
            .names
            .list()?
            .into_iter()
            .filter_map(|(name, named)| (named == id).then_some(name))
            .collect();
        let going = match &by_name {
            Some(name) => vec![name.clone()],
            None if all.len() > 1 && force == Force::No => {
                let names = all.iter().map(Reference::familiar).collect();
                return Err(StoreError::SeveralNames { id, names });
            }
            None => all.clone(),
        };
        let last = going.len() >= all.len();
        let containers = if last {
            users(&id).map_err(StoreError::Users)?
        } else {
            Vec::new()
        };
        if !containers.is_empty() && force == Force::No {
            return Err(StoreError::InUse {
                image: text.to_owned(),
                containers,
            });
        }
        let mut removed = Vec::new();
        for name in going {
            self.names.remove(&name)?;
            removed.push(Removed::Name(name));
        }
        if last && containers.is_empty() {
            self.remove_image(&id, &mut removed)?;
        }
        Ok(removed)
    }

    fn remove_image(&self, id: &ImageId, removed: &mut Vec<Removed>) -> Result<(), StoreError> {
        // A damaged image has no layers that we could trust; `prune` takes those.
        let chains: Vec<ChainId> = self
            .image(id)
            .map(|image| image.layers.iter().map(|layer| layer.chain_id).collect())
            .unwrap_or_default();
        self.staging.discard(&self.path_of(id))?;
        removed.push(Removed::Image(*id));
        let needed = self.needed_layers()?;
        for chain in chains.iter().rev().filter(|chain| !needed.contains(chain)) {
            self.storage.remove_layer(chain)?;
            removed.push(Removed::Layer(*chain));
        }
        Ok(())
    }

    /// The layers of all images and of remembered steps, sorted.
    pub(super) fn needed_layers(&self) -> Result<Vec<ChainId>, StoreError> {
        let mut needed = self.layers_of_images()?;
        needed.extend(self.step_layers()?.iter().map(|layer| layer.chain_id));
        needed.sort();
        needed.dedup();
        Ok(needed)
    }

    /// The layers of all images, sorted.
    pub(super) fn layers_of_images(&self) -> Result<Vec<ChainId>, StoreError> {
        let mut layers = Vec::new();
        for id in self.ids()? {
            layers.extend(self.image(&id)?.layers.iter().map(|layer| layer.chain_id));
        }
        layers.sort();
        layers.dedup();
        Ok(layers)
    }

    /// Unfinished work that nobody goes on with, and layers that no image has: what
    /// [`prune`](Self::prune) removes. Nothing is, while somebody uses the store.
    pub fn leftovers(&self) -> Result<Vec<PathBuf>, StoreError> {
        let hold = self.lock(FlockArg::LockExclusiveNonblock);
        let Ok(_hold) = hold else {
            return Ok(Vec::new());
        };
        let mut left = self.staging.leftovers()?;
        left.extend(self.storage.leftovers()?);
        // Images that cannot be read are findings of their own, and may need any layer.
        if let Ok(needed) = self.needed_layers() {
            left.extend(
                self.storage
                    .layers_but(|chain| needed.binary_search(chain).is_ok())?,
            );
        }
        Ok(left)
    }

    /// Removes what killed processes left, and layers that no image has. Returns how many things
    /// that were.
    pub fn prune(&self) -> Result<usize, StoreError> {
        let _hold = self.exclude()?;
        self.prune_alone()
    }

    /// [`prune`](Self::prune), unless somebody uses the store at this moment.
    pub(super) fn prune_if_idle(&self) -> Result<usize, StoreError> {
        let _hold = self.lock(FlockArg::LockExclusiveNonblock)?;
        self.prune_alone()
    }

    fn prune_alone(&self) -> Result<usize, StoreError> {
        let needed = self.needed_layers()?;
        let left = self.staging.clean()?;
        let layers = self
            .storage
            .prune(|chain| needed.binary_search(chain).is_ok())?;
        Ok(left + layers)
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(StoreError::io("write", path))
}
