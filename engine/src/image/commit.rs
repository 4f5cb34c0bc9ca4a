//! Images made here, on top of others.

use std::io::Read;

use crate::image::config::{History, ImageConfig, RootFs, RunConfig};
use crate::image::digest::ImageId;
use crate::image::layer::Expected;
use crate::image::load::{LoadError, Loaded, attempt, commit as commit_layer};
use crate::image::manifest::Platform;
use crate::image::reference::Reference;
use crate::image::store::{Image, Store, StoredLayer};

/// The time that an image made now says it was made at: `SOURCE_DATE_EPOCH`, in seconds since 1970,
/// where that is set (<https://reproducible-builds.org/specs/source-date-epoch/>), so that the same
/// input gives the same image.
pub fn created() -> String {
    fixed_time()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .unwrap_or_else(jiff::Timestamp::now)
        .to_string()
}

/// `SOURCE_DATE_EPOCH`, where it is set.
pub fn fixed_time() -> Option<i64> {
    let fixed = std::env::var("SOURCE_DATE_EPOCH").ok()?;
    fixed.trim().parse().ok()
}

/// Makes an image: `base`, or nothing, with a further layer, or none, the run configuration `run`,
/// and a step of history. The layer's tar is unpacked under the same laws as one that is loaded.
///
/// # Errors
/// When nothing was made; nothing of it stays.
pub fn commit(
    store: &Store,
    base: Option<&Image>,
    layer: Option<Box<dyn Read + Send>>,
    run: RunConfig,
    step: History,
    name: Option<&Reference>,
) -> Result<Loaded, LoadError> {
    attempt(store, || {
        let mut layers = base.map(|base| base.layers.clone()).unwrap_or_default();
        let mut config = match base {
            Some(base) => base.config.clone(),
            None => empty(),
        };
        complete_history(&mut config, layers.len());
        let mut devices = 0;
        let empty_layer = layer.is_none();
        if let Some(layer) = layer {
            devices = add_layer(store, &mut layers, layer)?;
            config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id).collect();
        }
        config.created.clone_from(&step.created);
        config.author.clone_from(&step.author);
        config.config = run;
        config.history.push(History {
            empty_layer,
            ..step
        });
        let names: Vec<Reference> = name.into_iter().cloned().collect();
        let id = record(store, &config, layers, &names)?;
        Ok(Loaded { id, names, devices })
    })
}

/// Unpacks a layer on top of `layers`, and adds it to them. Returns how many device nodes were left
/// out. The caller holds [`Store::share`].
pub(crate) fn add_layer(
    store: &Store,
    layers: &mut Vec<StoredLayer>,
    tar: Box<dyn Read + Send>,
) -> Result<u64, LoadError> {
    let parent = layers.last().map(|layer| &layer.chain_id);
    let stored = commit_layer(store, tar, parent, Expected::default());
    let (stored, applied) = stored.map_err(|source| LoadError::Layer {
        at: layers.len(),
        of: layers.len() + 1,
        source,
    })?;
    layers.push(stored);
    Ok(applied.devices)
}

/// Records an image whose layers are there. The caller holds [`Store::share`] since before the
/// first of them was.
pub(crate) fn record(
    store: &Store,
    config: &ImageConfig,
    layers: Vec<StoredLayer>,
    names: &[Reference],
) -> Result<ImageId, LoadError> {
    let bytes = serde_json::to_vec(config).map_err(LoadError::Json)?;
    // What could not be read back is never recorded.
    ImageConfig::parse(&bytes)?;
    Ok(store.put(&bytes, layers, names)?)
}

/// Nothing to begin with, for this machine.
pub(crate) fn empty() -> ImageConfig {
    let here = Platform::here();
    ImageConfig {
        created: None,
        author: None,
        architecture: here.architecture,
        variant: None,
        os: here.os,
        config: RunConfig::default(),
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: Vec::new(),
        },
        history: Vec::new(),
    }
}

/// Adds steps of which nothing is known for layers that the history does not tell of, so that a
/// further step is not taken for theirs.
pub(crate) fn complete_history(config: &mut ImageConfig, layers: usize) {
    let told = config.history.iter().filter(|step| !step.empty_layer);
    let untold = layers.saturating_sub(told.count());
    let unknown = std::iter::repeat_with(History::default).take(untold);
    config.history.extend(unknown);
}
