//! `save`: images out of the store, as an archive that every engine reads.
//!
//! The archive is an OCI layout and a docker-archive at the same time, as Docker's is from
//! version 25 on. Layers are in it as they are identified, uncompressed, so the same images give
//! the same bytes, whichever way they came here and whichever driver keeps them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};

use serde::Serialize;
use serde_json::json;

use crate::image::digest::{DiffId, Digest, ImageId};
use crate::image::layer::RebuildError;
use crate::image::limits::MAX_IMAGES;
use crate::image::manifest::{CONFIGS, Descriptor, LAYERS, MANIFESTS, Manifest};
use crate::image::reference::Reference;
use crate::image::store::{Image, Store, StoreError};
use crate::storage::StorageError;

/// Why images could not be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The layers' storage.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A layer.
    #[error("layer {diff_id} of image {id} cannot be read back")]
    Layer {
        /// The layer.
        diff_id: DiffId,
        /// The image.
        id: ImageId,
        /// Why.
        #[source]
        source: Box<RebuildError>,
    },
    /// A layer, while it was being written.
    #[error("cannot read what goes to `{path}` in the archive")]
    Read {
        /// Where.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The archive.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    /// JSON.
    #[error("cannot write the archive's metadata")]
    Json(#[from] serde_json::Error),
    /// Too many.
    #[error("more than {MAX_IMAGES} images are more than an archive may have: save them apart")]
    TooMany,
}

/// Writes the images that `wanted` names, with those names, to an archive. A name without a tag
/// stands for all tags of its repository, as with Docker; an id gives no name to the image.
///
/// # Errors
/// What was written by then is no archive.
pub fn save(store: &Store, wanted: &[String], out: impl Write) -> Result<(), SaveError> {
    let _hold = store.share()?;
    let images = choose(store, wanted)?;
    let mut archive = Archive {
        out,
        written: BTreeSet::new(),
    };
    archive.folder("blobs/")?;
    archive.folder("blobs/sha256/")?;
    let mut index = Vec::new();
    let mut items = Vec::new();
    for (image, names) in &images {
        let config = archive.metadata(CONFIGS[0], &store.config_bytes(&image.id)?)?;
        let layers = archive.layers(store, image)?;
        items.push(Item {
            config: path_of(&config.digest),
            repo_tags: names.iter().map(Reference::familiar).collect(),
            layers: layers.iter().map(|layer| path_of(&layer.digest)).collect(),
        });
        let manifest = Manifest { config, layers };
        let manifest = archive.metadata(MANIFESTS[0], &manifest.to_json()?)?;
        index.extend(named(&manifest, names));
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": index,
    });
    archive.file("index.json", &serde_json::to_vec(&index)?)?;
    archive.file("manifest.json", &serde_json::to_vec(&items)?)?;
    archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    archive.finish()
}

/// An image in `manifest.json`, as Docker reads it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// The images in the order in which they are first named, each with the names asked for.
fn choose(
    store: &Store,
    wanted: &[String],
) -> Result<Vec<(Image, BTreeSet<Reference>)>, SaveError> {
    let mut chosen: Vec<(Image, BTreeSet<Reference>)> = Vec::new();
    for text in wanted {
        for (id, name) in store.named(text)? {
            let at = match chosen.iter().position(|(image, _)| image.id == id) {
                Some(at) => at,
                None if chosen.len() == MAX_IMAGES => return Err(SaveError::TooMany),
                None => {
                    chosen.push((store.image(&id)?, BTreeSet::new()));
                    chosen.len() - 1
                }
            };
            if let Some((_, names)) = chosen.get_mut(at) {
                names.extend(name);
            }
        }
    }
    Ok(chosen)
}

/// What an index has of an image: an entry for each name, as containerd and Docker note it.
fn named(manifest: &Descriptor, names: &BTreeSet<Reference>) -> Vec<Descriptor> {
    if names.is_empty() {
        return vec![manifest.clone()];
    }
    let entry = |name: &Reference| {
        let mut annotations = BTreeMap::new();
        annotations.insert("io.containerd.image.name".to_owned(), name.to_string());
        if let Some(tag) = name.tag() {
            annotations.insert(
                "org.opencontainers.image.ref.name".to_owned(),
                tag.to_owned(),
            );
        }
        Descriptor {
            annotations: Some(annotations),
            ..manifest.clone()
        }
    };
    names.iter().map(entry).collect()
}

fn path_of(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

const BLOCK: usize = 512;

/// The tar that is being written. Nothing in it depends on when, where and by whom that is done.
struct Archive<W> {
    out: W,
    written: BTreeSet<Digest>,
}

impl<W: Write> Archive<W> {
    /// A blob of metadata, unless it is there already.
    fn metadata(&mut self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, SaveError> {
        let blob = Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64);
        if self.written.insert(blob.digest) {
            self.file(&path_of(&blob.digest), bytes)?;
        }
        Ok(blob)
    }

    /// An image's layers, those that are not there already.
    fn layers(&mut self, store: &Store, image: &Image) -> Result<Vec<Descriptor>, SaveError> {
        let mut descriptors = Vec::new();
        for layer in &image.layers {
            let mut tar = store.layer_tar(layer)?.map_err(|source| SaveError::Layer {
                diff_id: layer.diff_id,
                id: image.id,
                source: Box::new(source),
            })?;
            let digest = *layer.diff_id.digest();
            let length = tar.length();
            if self.written.insert(digest) {
                self.stream(&path_of(&digest), length, &mut tar)?;
            }
            descriptors.push(Descriptor::new(LAYERS[0], digest, length));
        }
        Ok(descriptors)
    }

    fn folder(&mut self, path: &str) -> Result<(), SaveError> {
        self.header(tar::EntryType::Directory, path, 0)
    }

    fn file(&mut self, path: &str, bytes: &[u8]) -> Result<(), SaveError> {
        self.stream(path, bytes.len() as u64, &mut &*bytes)
    }

    fn stream(&mut self, path: &str, length: u64, from: &mut dyn Read) -> Result<(), SaveError> {
        let read = |source| SaveError::Read {
            path: path.to_owned(),
            source,
        };
        self.header(tar::EntryType::Regular, path, length)?;
        let mut buffer = vec![0; 256 << 10];
        let mut left = length;
        loop {
            // To the very end: only there a layer is known to be right.
            let length = from.read(&mut buffer).map_err(read)?;
            let part = buffer.get(..length).unwrap_or_default();
            let Some(rest) = left.checked_sub(length as u64) else {
                return Err(read(io::Error::other("it is longer than it should be")));
            };
            if part.is_empty() && left > 0 {
                return Err(read(io::ErrorKind::UnexpectedEof.into()));
            }
            if part.is_empty() {
                break;
            }
            self.write(part)?;
            left = rest;
        }
        let padding = usize::try_from(length.wrapping_neg() % BLOCK as u64).unwrap_or_default();
        self.write([0; BLOCK].get(..padding).unwrap_or_default())
    }

    fn header(&mut self, kind: tar::EntryType, path: &str, length: u64) -> Result<(), SaveError> {
        let mut header = tar::Header::new_gnu();
        header.set_path(path).map_err(SaveError::Write)?;
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(length);
        header.set_cksum();
        self.write(header.as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SaveError> {
        self.out.write_all(bytes).map_err(SaveError::Write)
    }

    fn finish(mut self) -> Result<(), SaveError> {
        self.write(&[0; 2 * BLOCK])?;
        self.out.flush().map_err(SaveError::Write)
    }
}
