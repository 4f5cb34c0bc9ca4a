//! `load` and `import`: foreign bytes in, images out, or an error and nothing.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::image::archive::{
    ArchiveError, Files, Planned, PlannedConfig, PlannedLayer, finish_legacy, plan,
};
use crate::image::config::{ConfigError, History, ImageConfig, RootFs, RunConfig};
use crate::image::digest::{ChainId, DiffId, Digest, ImageId};
use crate::image::layer::{Applied, Expected, Lower, unpack};
use crate::image::limits::{MAX_RATIO, RATIO_FREE_BYTES};
use crate::image::manifest::Platform;
use crate::image::reference::Reference;
use crate::image::store::{Store, StoreError, StoredLayer};
use crate::storage::{Filled, StorageError};

/// Where an archive comes from.
pub enum Input {
    /// A file or folder.
    Path(PathBuf),
    /// A stream, such as standard input.
    Stream(Box<dyn Read + Send>),
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Stream(_) => f.debug_tuple("Stream").finish_non_exhaustive(),
        }
    }
}

/// Why nothing was loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The archive is at fault.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The store is.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A layer was refused.
    #[error("layer {} of {of} is refused", at + 1)]
    Layer {
        /// Which, the lowest is 0.
        at: usize,
        /// How many there are.
        of: usize,
        /// Why.
        #[source]
        source: StorageError,
    },
    /// The archive of a root file system.
    #[error("cannot open `{}`", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The layers of an archive, together.
    #[error(
        "the layers of the archive grow more than {MAX_RATIO} times: it is no honest one, and nothing of it was kept"
    )]
    Room,
    /// The finished configuration.
    #[error("the image cannot be used")]
    Config(#[from] ConfigError),
    /// A name for an archive with several images.
    #[error("the archive has {0} images, so none of them can be given the name: load it without")]
    NameForMany(usize),
    /// The finished configuration.
    #[error("cannot write the image's configuration")]
    Json(#[source] serde_json::Error),
}

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its id.
    pub id: ImageId,
    /// The names that it was given.
    pub names: Vec<Reference>,
    /// Device nodes that were left out of its layers.
    pub devices: u64,
}

/// Loads all images of an archive that run on this machine: an OCI layout or what `docker save`
/// writes, as a folder or as a tar, plain or compressed by gzip or zstd.
///
/// `name` is given to the image if the archive has just one.
///
/// # Errors
/// Whatever is wrong is found before any image is recorded; nothing of the archive stays.
pub fn load(
    store: &Store,
    input: Input,
    name: Option<&Reference>,
) -> Result<Vec<Loaded>, LoadError> {
    attempt(store, || {
        let files = match input {
            Input::Path(path) => Files::open(&path, store.staging())?,
            Input::Stream(stream) => Files::spool(stream, store.staging(), Path::new("-"))?,
        };
        let mut planned = plan(&files)?;
        if let Some(name) = name {
            match &mut planned[..] {
                [only] => only.names.push(name.clone()),
                many => return Err(LoadError::NameForMany(many.len())),
            }
        }
        let mut done = Vec::with_capacity(planned.len());
        let mut room = Room::of(&files);
        for image in planned {
            done.push(layers(store, &files, image, &mut room)?);
        }
        done.into_iter()
            .map(|(config, layers, names, devices)| {
                let id = store.put(&config, layers, &names)?;
                Ok(Loaded { id, names, devices })
            })
            .collect()
    })
}

/// Makes a tar of a root file system, plain or compressed by gzip or zstd, an image of one layer.
///
/// # Errors
/// As [`load`].
pub fn import(store: &Store, input: Input, name: Option<&Reference>) -> Result<Loaded, LoadError> {
    attempt(store, || {
        let source: Box<dyn Read + Send> = match input {
            Input::Path(path) => match File::open(&path) {
                Ok(file) => Box::new(file),
                Err(source) => return Err(LoadError::Open { path, source }),
            },
            Input::Stream(stream) => stream,
        };
        let (layer, applied) =
            commit(store, source, None, Expected::default()).map_err(|source| {
                LoadError::Layer {
                    at: 0,
                    of: 1,
                    source,
                }
            })?;
        let now = Some(jiff::Timestamp::now().to_string());
        let here = Platform::here();
        let config = ImageConfig {
            created: now.clone(),
            author: None,
            architecture: here.architecture,
            variant: None,
            os: here.os,
            config: RunConfig::default(),
            rootfs: RootFs {
                kind: "layers".to_owned(),
                diff_ids: vec![layer.diff_id],
            },
            history: vec![History {
                created: now,
                created_by: Some("keel import".to_owned()),
                ..History::default()
            }],
        };
        let config = serde_json::to_vec(&config).map_err(LoadError::Json)?;
        let names: Vec<Reference> = name.into_iter().cloned().collect();
        let id = store.put(&config, vec![layer], &names)?;
        Ok(Loaded {
            id,
            names,
            devices: applied.devices,
        })
    })
}

/// Runs `work` while nothing can be removed from the store. When it fails, what it had stored
/// already is removed, unless others are at work, who may need it: then the next `prune` does.
pub(super) fn attempt<T, E: From<StoreError>>(
    store: &Store,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let hold = store.share()?;
    let result = work();
    drop(hold);
    if result.is_err() {
        // The reason that matters is the first one.
        drop(store.prune_if_idle());
    }
    result
}

/// What all layers of an archive may take. One blob can be a layer of many images, and of one image
/// many times; that the archive itself may be compressed, too, multiplies.
struct Room(u64);

impl Room {
    fn of(files: &Files) -> Self {
        let delivered = files.delivered().unwrap_or(u64::MAX);
        Self(RATIO_FREE_BYTES.saturating_add(delivered.saturating_mul(MAX_RATIO)))
    }

    fn take(&mut self, bytes: u64) -> Result<(), LoadError> {
        self.0 = self.0.checked_sub(bytes).ok_or(LoadError::Room)?;
        Ok(())
    }
}

type Done = (Vec<u8>, Vec<StoredLayer>, Vec<Reference>, u64);

/// Stores the layers of an image, and finishes its configuration.
fn layers(
    store: &Store,
    files: &Files,
    image: Planned,
    room: &mut Room,
) -> Result<Done, LoadError> {
    let of = image.layers.len();
    let mut stored: Vec<StoredLayer> = Vec::with_capacity(of);
    let mut devices = 0;
    for (at, layer) in image.layers.iter().enumerate() {
        let parent = stored.last().map(|layer| &layer.chain_id);
        let there =
            match layer.expected.diff_id {
                Some(diff_id) => there(store, parent, diff_id)
                    .map_err(|source| LoadError::Layer { at, of, source })?,
                None => None,
            };
        let layer = if let Some(layer) = there {
            layer
        } else {
            let PlannedLayer { path, expected } = layer;
            let (layer, applied) = commit(store, files.blob(path)?.reader, parent, *expected)
                .map_err(|source| LoadError::Layer { at, of, source })?;
            room.take(applied.bytes)?;
            devices += applied.devices;
            layer
        };
        stored.push(layer);
    }
    let config = match image.config {
        PlannedConfig::Ready(bytes) => bytes,
        PlannedConfig::Legacy(old) => {
            let diff_ids: Vec<DiffId> = stored.iter().map(|layer| layer.diff_id).collect();
            let config = finish_legacy(&old, &diff_ids).map_err(LoadError::Json)?;
            ImageConfig::parse(&config)?;
            config
        }
    };
    Ok((config, stored, image.names, devices))
}

/// The layer, if it is in the store.
pub(super) fn there(
    store: &Store,
    parent: Option<&ChainId>,
    diff_id: DiffId,
) -> Result<Option<StoredLayer>, StorageError> {
    let chain_id = ChainId::on_top_of(parent, diff_id);
    let bytes = store.storage().layer_bytes(&chain_id)?;
    Ok(bytes.map(|bytes| StoredLayer {
        diff_id,
        chain_id,
        bytes,
    }))
}

/// Unpacks a layer into the storage.
pub(super) fn commit(
    store: &Store,
    source: Box<dyn Read + Send>,
    parent: Option<&ChainId>,
    expected: Expected,
) -> Result<(StoredLayer, Applied), StorageError> {
    let lower = match parent {
        Some(_) => Lower::Present,
        None => Lower::Absent,
    };
    let mut source = Some(source);
    let mut unpacked = (DiffId::new(Digest::of(b"")), Applied::default());
    let chain_id = store
        .storage()
        .driver()
        .commit_layer(parent, &mut |layer| {
            let source = source.take().unwrap_or_else(|| Box::new(io::empty()));
            unpacked = unpack(source, layer, lower, expected)?;
            Ok(Filled {
                chain: ChainId::on_top_of(parent, unpacked.0),
                bytes: unpacked.1.bytes,
            })
        })?;
    let (diff_id, applied) = unpacked;
    let layer = StoredLayer {
        diff_id,
        chain_id,
        bytes: applied.bytes,
    };
    Ok((layer, applied))
}
