//! `push`: an image of the store to a registry, moving only what is not there.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};

use crate::image::digest::{DiffId, Digest};
use crate::image::layer::RebuildError;
use crate::image::manifest::{CONFIGS, Descriptor, LAYERS, MANIFESTS, Manifest};
use crate::image::origin::Origin;
use crate::image::reference::Reference;
use crate::image::registry::client::{Client, Mount};
use crate::image::registry::{Progress, RegistryError, Step};
use crate::image::store::{Image, Store, StoreError, StoredLayer};
use crate::storage::{Staged, StorageError};

/// Why an image was not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Storage.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A name with a digest.
    #[error("`{0}` names an image by its digest, which only the registry makes: push a tag")]
    Digest(String),
    /// A layer.
    #[error("layer {diff_id} cannot be read back")]
    Layer {
        /// Which.
        diff_id: DiffId,
        /// Why.
        #[source]
        source: Box<RebuildError>,
    },
    /// A layer, while it was being compressed.
    #[error("layer {diff_id} cannot be compressed")]
    Compress {
        /// Which.
        diff_id: DiffId,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// JSON.
    #[error("cannot write the manifest")]
    Json(#[from] serde_json::Error),
}

/// What an image is at the registry now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of its manifest.
    pub digest: Digest,
    /// The manifest's bytes.
    pub bytes: u64,
}

/// Pushes the image that `name` stands for in the store, under that name.
///
/// A layer whose compressed form is known from an earlier pull or push is not compressed again if
/// the registry has it, in this repository or another; if it has all, the manifest is the one that
/// the image was pulled with, to the byte. Other layers are compressed by gzip, always alike.
pub fn push(
    store: &Store,
    client: &Client,
    name: &Reference,
    progress: &dyn Progress,
) -> Result<Pushed, PushError> {
    let (Some(tag), None) = (name.tag(), name.digest()) else {
        return Err(PushError::Digest(name.familiar()));
    };
    let _hold = store.share()?;
    let image = store.resolve(&name.to_string())?;
    let origin = store.origin(&image.id)?;
    let pushing = Pushing {
        store,
        client,
        repository: name.path(),
        known: Known::of(origin.as_ref(), &image),
        staged: store.staging().stage("push")?,
        progress,
    };
    for layer in &image.layers {
        progress.step(layer.diff_id.digest(), Step::Waiting { bytes: layer.bytes });
    }
    let mut layers = Vec::with_capacity(image.layers.len());
    for (at, layer) in image.layers.iter().enumerate() {
        layers.push(pushing.layer(at, layer)?);
    }
    let config = pushing.config(&image)?;
    let manifest = Manifest { config, layers };
    // The very manifest that others know, if it says the same.
    let as_before = origin
        .as_ref()
        .filter(|origin| origin.manifest().is_some_and(|old| same(&old, &manifest)));
    let (media_type, bytes) = match as_before {
        Some(origin) => (origin.media_type(), origin.bytes().to_vec()),
        None => (MANIFESTS[0], oci(manifest).to_json()?),
    };
    client.put_manifest(name.path(), tag, media_type, &bytes)?;
    if as_before.is_none() {
        if let Some(origin) = Origin::new(name, &bytes) {
            store.set_origin(&image.id, &origin)?;
        }
    }
    Ok(Pushed {
        digest: Digest::of(&bytes),
        bytes: bytes.len() as u64,
    })
}

/// Whether two manifests have the same blobs.
fn same(one: &Manifest, other: &Manifest) -> bool {
    let blobs = |manifest: &Manifest| {
        let layers = manifest.layers.iter().map(|layer| layer.digest);
        std::iter::once(manifest.config.digest)
            .chain(layers)
            .collect::<Vec<_>>()
    };
    blobs(one) == blobs(other)
}

/// With the media types of an OCI manifest, which must not be mixed with others.
fn oci(mut manifest: Manifest) -> Manifest {
    CONFIGS[0].clone_into(&mut manifest.config.media_type);
    for layer in &mut manifest.layers {
        let kind = match layer.media_type.as_str() {
            kind if kind.ends_with("zstd") => LAYERS[2],
            kind if kind.ends_with("gzip") => LAYERS[1],
            _ => LAYERS[0],
        };
        kind.clone_into(&mut layer.media_type);
        layer.annotations = None;
    }
    manifest
}

/// What is known of an image's layers from an earlier pull or push.
struct Known {
    layers: Vec<Descriptor>,
    from: Option<Reference>,
}

impl Known {
    fn of(origin: Option<&Origin>, image: &Image) -> Self {
        let layers = origin
            .and_then(Origin::manifest)
            .map(|manifest| manifest.layers)
            .filter(|layers| layers.len() == image.layers.len());
        Self {
            layers: layers.unwrap_or_default(),
            from: origin.map(|origin| origin.repository().clone()),
        }
    }
}

struct Pushing<'a> {
    store: &'a Store,
    client: &'a Client,
    repository: &'a str,
    known: Known,
    /// Where layers are compressed to.
    staged: Staged,
    progress: &'a dyn Progress,
}

impl Pushing<'_> {
    /// Sees to it that the registry has a layer, and says as what.
    fn layer(&self, at: usize, layer: &StoredLayer) -> Result<Descriptor, PushError> {
        let shown = layer.diff_id.digest();
        if let Some(known) = self.known.layers.get(at) {
            if self.client.has_blob(self.repository, &known.digest)? {
                self.progress.step(shown, Step::Present);
                return Ok(known.clone());
            }
            if let Some(from) = self.mounted(&known.digest)? {
                self.progress.step(shown, Step::Mounted(from));
                return Ok(known.clone());
            }
        }
        let path = self.staged.path().join(format!("{at}.gz"));
        let (file, blob) = self.compress(layer, &path)?;
        self.progress
            .step(shown, Step::Compressed { bytes: blob.size });
        if self.client.has_blob(self.repository, &blob.digest)? {
            self.progress.step(shown, Step::Present);
        } else {
            let sent = |bytes| self.progress.step(shown, Step::Moved(bytes));
            self.client
                .upload(self.repository, &file, &blob.digest, blob.size, &sent)?;
            self.progress.step(shown, Step::Uploaded);
        }
        std::fs::remove_file(&path).map_err(RegistryError::file("remove", path))?;
        Ok(blob)
    }

    /// Has a blob of another repository of the same registry here.
    fn mounted(&self, digest: &Digest) -> Result<Option<&Reference>, RegistryError> {
        let Some(from) = &self.known.from else {
            return Ok(None);
        };
        if from.registry() != self.client.registry() || from.path() == self.repository {
            return Ok(None);
        }
        Ok(
            match self.client.mount(self.repository, digest, from.path())? {
                Mount::Done => Some(from),
                Mount::Refused => None,
            },
        )
    }

    /// Compresses a layer to a file: nothing in it depends on when and where that is done.
    fn compress(&self, layer: &StoredLayer, path: &Path) -> Result<(File, Descriptor), PushError> {
        let diff_id = layer.diff_id;
        let mut tar = self
            .store
            .layer_tar(layer)?
            .map_err(|source| PushError::Layer {
                diff_id,
                source: Box::new(source),
            })?;
        let failed = |source| PushError::Compress { diff_id, source };
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(RegistryError::file("create", path))?;
        let out = Summing {
            inner: &file,
            hasher: Sha256::new(),
            bytes: 0,
        };
        let mut gzip = GzBuilder::new().write(out, Compression::default());
        let mut buffer = vec![0; 256 << 10];
        loop {
            let length = tar.read(&mut buffer).map_err(failed)?;
            let data = buffer.get(..length).unwrap_or_default();
            if data.is_empty() {
                break;
            }
            io::Write::write_all(&mut gzip, data).map_err(failed)?;
        }
        let out = gzip.finish().map_err(failed)?;
        let blob = Descriptor::new(LAYERS[1], Digest::from_hasher(out.hasher), out.bytes);
        Ok((file, blob))
    }

    /// Sees to it that the registry has the configuration.
    fn config(&self, image: &Image) -> Result<Descriptor, PushError> {
        let bytes = self.store.config_bytes(&image.id)?;
        let blob = Descriptor::new(CONFIGS[0], *image.id.digest(), bytes.len() as u64);
        if !self.client.has_blob(self.repository, &blob.digest)? {
            let path = self.staged.path().join("config.json");
            std::fs::write(&path, &bytes).map_err(RegistryError::file("write", &path))?;
            let file = File::open(&path).map_err(RegistryError::file("open", &path))?;
            self.client
                .upload(self.repository, &file, &blob.digest, blob.size, &|_| {})?;
        }
        Ok(blob)
    }
}

/// Hashes and counts what is written through it.
struct Summing<W> {
    inner: W,
    hasher: Sha256,
    bytes: u64,
}

impl<W: io::Write> io::Write for Summing<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(data)?;
        self.hasher.update(data.get(..length).unwrap_or_default());
        self.bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
