//! What the steps of builds came to, so that the same step need not be done again.
//!
//! One file a step, `images/build-cache/HEX.json`, under the digest of all that the step depends on.
//! While it is there, its layers are not removed; [`Store::forget_steps`] takes both.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::image::digest::Digest;
use crate::image::store::{Store, StoreError, StoredLayer};

const SCHEMA: &str = "keel.build-step/1";

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedStep {
    /// The instruction, for people.
    pub instruction: String,
    /// When it was done, RFC 3339.
    pub created: String,
    /// All layers from the lowest on, with that of the step, if it has one.
    pub layers: Vec<StoredLayer>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    schema: String,
    instruction: String,
    created: String,
    layers: Vec<StoredLayer>,
}

impl Store {
    /// What the step with this key came to; `None`: it was not done yet, or not with this storage
    /// driver, or the record of it is damaged.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn cached_step(&self, key: &Digest) -> Result<Option<CachedStep>, StoreError> {
        let path = self.step_path(key);
        let Some(record) = fs::read(&path).ok().as_deref().and_then(parse) else {
            return Ok(None);
        };
        for layer in &record.layers {
            if self.storage().layer_bytes(&layer.chain_id)?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(CachedStep {
            instruction: record.instruction,
            created: record.created,
            layers: record.layers,
        }))
    }

    /// Records what a step came to. The caller holds [`share`](Self::share) since before it
    /// committed the first of the layers.
    ///
    /// # Errors
    /// Those of writing.
    pub fn remember_step(&self, key: &Digest, step: &CachedStep) -> Result<(), StoreError> {
        let folder = self.steps();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(StoreError::io("create", &folder))?;
        let record = Record {
            schema: SCHEMA.to_owned(),
            instruction: step.instruction.clone(),
            created: step.created.clone(),
            layers: step.layers.clone(),
        };
        let path = self.step_path(key);
        let mut text = serde_json::to_vec_pretty(&record)
            .map_err(|error| StoreError::io("write", &path)(io::Error::from(error)))?;
        text.push(b'\n');
        let staged = self.staging().stage("build-step")?;
        let new = staged.path().join("step.json");
        // Not synced: after a power failure the step is done again.
        fs::File::create(&new)
            .and_then(|mut file| file.write_all(&text))
            .map_err(StoreError::io("write", &new))?;
        fs::rename(&new, &path).map_err(StoreError::io("write", &path))
    }

    /// Forgets all steps, and removes the layers that only they needed. Says how many steps that
    /// were, and how many bytes the layers' files had.
    ///
    /// # Errors
    /// Those of listing and removing.
    pub fn forget_steps(&self) -> Result<(usize, u64), StoreError> {
        let _hold = self.exclude()?;
        let layers = self.step_layers()?;
        let paths = self.step_paths()?;
        for path in &paths {
            fs::remove_file(path).map_err(StoreError::io("remove", path))?;
        }
        // As it was before the first build; it is made when it is needed.
        drop(fs::remove_dir(self.steps()));
        let needed = self.needed_layers()?;
        let mut bytes = 0;
        // The uppermost first: no layer goes before those that stand on it.
        for layer in layers.iter().rev() {
            let chain = &layer.chain_id;
            let is_there = self.storage().layer_bytes(chain)?.is_some();
            if is_there && needed.binary_search(chain).is_err() {
                self.storage().remove_layer(chain)?;
                bytes += layer.bytes;
            }
        }
        Ok((paths.len(), bytes))
    }

    /// How many steps are remembered, and how many bytes the files of layers have that only they
    /// need.
    ///
    /// # Errors
    /// Those of listing.
    pub fn steps_usage(&self) -> Result<(usize, u64), StoreError> {
        let needed = self.layers_of_images()?;
        let mut only = self.step_layers()?;
        only.retain(|layer| needed.binary_search(&layer.chain_id).is_err());
        only.sort_by_key(|layer| layer.chain_id);
        only.dedup_by_key(|layer| layer.chain_id);
        let bytes = only.iter().map(|layer| layer.bytes).sum();
        Ok((self.step_paths()?.len(), bytes))
    }

    /// The layers of every step, each stack from the lowest on. A damaged record needs none.
    ///
    /// # Errors
    /// Those of listing.
    pub(super) fn step_layers(&self) -> Result<Vec<StoredLayer>, StoreError> {
        let paths = self.step_paths()?;
        let records = paths.iter().filter_map(|path| parse(&fs::read(path).ok()?));
        let mut stacks: Vec<_> = records.map(|record| record.layers).collect();
        stacks.sort_by_key(Vec::len);
        Ok(stacks.concat())
    }

    fn step_paths(&self) -> Result<Vec<PathBuf>, StoreError> {
        let folder = self.steps();
        let list = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            list => list.map_err(StoreError::io("list", &folder))?,
        };
        list.map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()
            .map_err(StoreError::io("list", &folder))
    }

    fn steps(&self) -> PathBuf {
        self.folder().join("build-cache")
    }

    fn step_path(&self, key: &Digest) -> PathBuf {
        self.steps().join(format!("{}.json", key.hex()))
    }
}

fn parse(text: &[u8]) -> Option<Record> {
    let record: Record = serde_json::from_slice(text).ok()?;
    (record.schema == SCHEMA).then_some(record)
}
