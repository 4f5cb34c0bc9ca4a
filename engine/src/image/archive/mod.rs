//! Archives of images, as `load` takes them: OCI layouts and what `docker save` writes, packed in
//! a tar or as a folder.

mod docker;
mod files;
mod oci;

use std::path::PathBuf;

use crate::image::config::{ConfigError, ImageConfig};
use crate::image::digest::Digest;
use crate::image::layer::{Expected, PathError, TarError};
use crate::image::limits::{MAX_ARCHIVE_METADATA_BYTES, MAX_IMAGES};
use crate::image::manifest::ManifestError;
use crate::image::reference::{Reference, ReferenceError};
use crate::storage::StorageError;

pub(super) use docker::finish_legacy;
pub(super) use files::Files;

/// Why an archive was refused.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A system call failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// No place for what comes in as a stream.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The tar around the images.
    #[error("the archive is no readable tar")]
    Tar(#[from] TarError),
    /// Neither format.
    #[error(
        "the archive is neither an OCI layout (with `oci-layout` and `index.json`) nor from `docker save` (with `manifest.json` or `repositories`); a plain root file system is for `keel import`"
    )]
    Format,
    /// A file that something else refers to.
    #[error("the archive has no `{0}`, to which it refers")]
    Missing(String),
    /// A path in a manifest.
    #[error("the archive refers to `{path}`, which is refused")]
    Path {
        /// As it stands there.
        path: String,
        /// Why.
        #[source]
        source: PathError,
    },
    /// Links in a circle, or to nothing.
    #[error("`{0}` in the archive is a link that leads nowhere in it")]
    Link(String),
    /// Metadata that is too large to be honest.
    #[error("`{path}` in the archive has {bytes} bytes: more than metadata may have")]
    TooLarge {
        /// Which.
        path: String,
        /// How large.
        bytes: u64,
    },
    /// Metadata that is too large all in all.
    #[error("the images of the archive have more than {} MiB of metadata all in all", MAX_ARCHIVE_METADATA_BYTES >> 20)]
    Metadata,
    /// A blob that is not what its name says.
    #[error(
        "`{path}` in the archive has digest {found} instead of {expected}: the archive is damaged, make it again"
    )]
    Digest {
        /// Which.
        path: String,
        /// Of the bytes.
        found: Digest,
        /// Of the name.
        expected: Digest,
    },
    /// JSON.
    #[error("`{path}` in the archive is not the JSON that it should be")]
    Json {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The layout's version.
    #[error("the OCI layout is of version `{0}`; only 1.x is supported")]
    Version(String),
    /// A manifest.
    #[error("`{path}` in the archive is refused")]
    Manifest {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// A configuration.
    #[error("`{path}` in the archive is refused")]
    Config {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: ConfigError,
    },
    /// A name.
    #[error("the archive gives an image the name `{name}`, which is refused")]
    Name {
        /// The name.
        name: String,
        /// Why.
        #[source]
        source: ReferenceError,
    },
    /// Layers of the manifest and of the configuration.
    #[error(
        "an image of the archive has {layers} layers but {diff_ids} diffIDs: the archive is damaged, make it again"
    )]
    Count {
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        diff_ids: usize,
    },
    /// Nothing for this machine.
    #[error("the archive has no image for {wanted}, only for {}", found.join(", "))]
    Platform {
        /// This machine.
        wanted: String,
        /// The others.
        found: Vec<String>,
    },
    /// Nothing at all.
    #[error("the archive has no image")]
    Empty,
    /// Too much.
    #[error("the archive has more than {MAX_IMAGES} images, or indexes that refer to each other")]
    TooMany,
}

/// An image of an archive, of which everything but the layers has been read and checked.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) config: PlannedConfig,
    /// Lowest first.
    pub(super) layers: Vec<PlannedLayer>,
    pub(super) names: Vec<Reference>,
}

/// A configuration.
#[derive(Debug)]
pub(super) enum PlannedConfig {
    /// As it is stored.
    Ready(Vec<u8>),
    /// Of Docker before 1.10: it lacks the diffIDs, which the layers have to tell.
    Legacy(Box<serde_json::Value>),
}

/// Where a layer is, and what is known of it.
#[derive(Debug, Clone)]
pub(super) struct PlannedLayer {
    pub(super) path: String,
    pub(super) expected: Expected,
}

/// What is in the archive, for this machine.
pub(super) fn plan(files: &Files) -> Result<Vec<Planned>, ArchiveError> {
    let planned = if files.has("oci-layout")? && files.has("index.json")? {
        oci::plan(files)?
    } else if files.has("manifest.json")? {
        docker::plan(files)?
    } else if files.has("repositories")? {
        docker::plan_legacy(files)?
    } else {
        return Err(ArchiveError::Format);
    };
    if planned.is_empty() {
        return Err(ArchiveError::Empty);
    }
    Ok(planned)
}

fn read_config(path: &str, bytes: &[u8]) -> Result<ImageConfig, ArchiveError> {
    ImageConfig::parse(bytes).map_err(|source| ArchiveError::Config {
        path: path.to_owned(),
        source,
    })
}

fn read_json<T: serde::de::DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, ArchiveError> {
    serde_json::from_slice(bytes).map_err(|source| ArchiveError::Json {
        path: path.to_owned(),
        source,
    })
}

fn read_name(name: &str) -> Result<Reference, ArchiveError> {
    name.parse().map_err(|source| ArchiveError::Name {
        name: name.chars().take(300).collect(),
        source,
    })
}
