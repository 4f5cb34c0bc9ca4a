//! A driver's folder: where layers, trees and unfinished work lie, and how work becomes visible.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::image::digest::{ChainId, Digest};
use crate::storage::staging::{Staged, Staging};
use crate::storage::{DriverName, Filled, StorageError, TreeName};

/// The folder of one driver, and the only place that knows how it is laid out.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    staging: Staging,
}

/// What a layer's folder says about it.
#[derive(Debug, Serialize, Deserialize)]
struct LayerRecord {
    schema: String,
    chain_id: ChainId,
    parent: Option<ChainId>,
    bytes: u64,
}

const LAYER_SCHEMA: &str = "keel.layer/1";

impl Home {
    /// The folder of `driver` below keel's root folder; made when it is not there.
    pub fn open(root: &Path, driver: DriverName) -> Result<Self, StorageError> {
        let path = root.join("storage").join(driver.as_str());
        // One look on the common path; folders are for root alone (CVE-2021-41091: set-user-id
        // files of images were reachable by users of the host).
        if !path.join("staging").is_dir() {
            for part in ["layers", "containers", "staging"] {
                let part = path.join(part);
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&part)
                    .map_err(StorageError::io("create", &part))?;
            }
        }
        let staging = Staging::new(path.join("staging"));
        Ok(Self { path, staging })
    }

    /// The driver's folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the layer is, or would be.
    pub fn layer(&self, chain: &ChainId) -> PathBuf {
        self.path.join("layers").join(chain.hex())
    }

    /// Where the container's tree is, or would be.
    pub fn container(&self, name: &TreeName) -> PathBuf {
        self.path.join("containers").join(name)
    }

    /// Whether the layer is in the store, wholly.
    pub fn has(&self, chain: &ChainId) -> bool {
        self.layer(chain).join("layer.json").exists()
    }

    /// `Ok` with the layer's folder when it is there.
    pub fn existing(&self, chain: &ChainId) -> Result<PathBuf, StorageError> {
        if self.has(chain) {
            Ok(self.layer(chain))
        } else {
            Err(StorageError::NoLayer(*chain))
        }
    }

    /// All layers, in no order.
    pub fn layers(&self) -> Result<Vec<ChainId>, StorageError> {
        let folder = self.path.join("layers");
        let entries = fs::read_dir(&folder).map_err(StorageError::io("list", &folder))?;
        let mut chains = Vec::new();
        for entry in entries {
            let entry = entry.map_err(StorageError::io("list", &folder))?;
            // Anything else in there is not ours, and is left alone.
            if let Some(digest) = entry
                .file_name()
                .to_str()
                .and_then(|hex| Digest::from_hex(hex).ok())
            {
                chains.push(ChainId::new(digest));
            }
        }
        Ok(chains)
    }

    /// The layer that the container stands on, if it stands on one.
    pub fn top_of(&self, container: &TreeName) -> Result<Option<ChainId>, StorageError> {
        let link = self.container(container).join("layer");
        match fs::read_link(&link) {
            Ok(target) => Ok(target
                .file_name()
                .and_then(OsStr::to_str)
                .and_then(|hex| Digest::from_hex(hex).ok())
                .map(ChainId::new)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::io("read", link)(error)),
        }
    }

    /// A new folder for a container's tree.
    pub(super) fn new_container(&self, name: &TreeName) -> Result<PathBuf, StorageError> {
        let path = self.container(name);
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(StorageError::Exists(name.to_string()))
            }
            Err(error) => Err(StorageError::io("create", path)(error)),
        }
    }

    /// Notes the layer that a container stands on: a link, which a person can follow and which
    /// needs no fsync of its own.
    pub(super) fn link_to_layer(
        &self,
        name: &TreeName,
        layer: &ChainId,
    ) -> Result<(), StorageError> {
        let link = self.container(name).join("layer");
        let target = Path::new("../../layers").join(layer.hex());
        std::os::unix::fs::symlink(target, &link).map_err(StorageError::io("create", link))
    }

    /// Takes back an [`open`](Self::open) that came to nothing.
    pub(super) fn remove_if_empty(&self) {
        // A folder that is not empty is not removed, and is then of use to somebody.
        for part in ["layers", "containers", "staging", ""] {
            drop(fs::remove_dir(self.path.join(part)));
        }
    }

    /// Bytes of the files that the layer brought; `None` if the layer is not in the store.
    pub fn layer_bytes(&self, chain: &ChainId) -> Result<Option<u64>, StorageError> {
        let path = self.layer(chain).join("layer.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StorageError::io("read", path)(error)),
        };
        let record: LayerRecord = serde_json::from_slice(&text)
            .map_err(|error| StorageError::io("read", &path)(io::Error::from(error)))?;
        if record.schema != LAYER_SCHEMA || record.chain_id != *chain {
            let error = io::Error::new(io::ErrorKind::InvalidData, "it belongs to something else");
            return Err(StorageError::io("use", path)(error));
        }
        Ok(Some(record.bytes))
    }

    /// A new folder in `staging/`; see [`Staging::stage`].
    pub fn stage(&self, label: &str) -> Result<Staged, StorageError> {
        self.staging.stage(label)
    }

    /// Makes a staged layer visible: record, then everything to the disk, then the rename.
    ///
    /// When somebody else published the same layer first, theirs stays and ours goes.
    pub fn publish(
        &self,
        staged: Staged,
        filled: Filled,
        parent: Option<&ChainId>,
    ) -> Result<(), StorageError> {
        let record = LayerRecord {
            schema: LAYER_SCHEMA.to_owned(),
            chain_id: filled.chain,
            parent: parent.copied(),
            bytes: filled.bytes,
        };
        let path = staged.path().join("layer.json");
        let write = || -> io::Result<()> {
            let mut file = File::create(&path)?;
            serde_json::to_writer_pretty(&mut file, &record)?;
            file.write_all(b"\n")?;
            // One syncfs in place of an fsync a file: a layer has thousands of them.
            nix::unistd::syncfs(&file)?;
            Ok(())
        };
        write().map_err(StorageError::io("write", &path))?;
        match staged.publish(&self.layer(&filled.chain)) {
            Err(_) if self.has(&filled.chain) => Ok(()),
            result => result,
        }
    }

    /// Takes a tree out of sight at once, and then removes it.
    pub fn discard(&self, path: &Path) -> Result<(), StorageError> {
        self.staging.discard(path)
    }

    /// Unfinished work whose owner is gone.
    pub fn leftovers(&self) -> Result<Vec<PathBuf>, StorageError> {
        self.staging.leftovers()
    }

    /// Removes leftovers of killed processes; see [`Staging::clean`].
    pub fn clean(&self) -> Result<usize, StorageError> {
        self.staging.clean()
    }
}
