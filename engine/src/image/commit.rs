//! Images made here, on top of others.

use std::io::Read;

use crate::image::config::{History, ImageConfig, RootFs, RunConfig};
use crate::image::layer::Expected;
use crate::image::load::{LoadError, Loaded, attempt, commit as commit_layer};
use crate::image::manifest::Platform;
use crate::image::reference::Reference;
use crate::image::store::{Image, Store};

/// The time that an image made now says it was made at: `SOURCE_DATE_EPOCH`, in seconds since 1970,
/// where that is set (<https://reproducible-builds.org/specs/source-date-epoch/>), so that the same
/// input gives the same image.
pub fn created() -> String {
    let fixed = std::env::var("SOURCE_DATE_EPOCH").ok();
    fixed
        .and_then(|seconds| jiff::Timestamp::from_second(seconds.trim().parse().ok()?).ok())
        .unwrap_or_else(jiff::Timestamp::now)
        .to_string()
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
            let parent = layers.last().map(|layer| &layer.chain_id);
            let stored = commit_layer(store, layer, parent, Expected::default());
            let (stored, applied) = stored.map_err(|source| LoadError::Layer {
                at: layers.len(),
                of: layers.len() + 1,
                source,
            })?;
            devices = applied.devices;
            config.rootfs.diff_ids.push(stored.diff_id);
            layers.push(stored);
        }
        config.created.clone_from(&step.created);
        config.author.clone_from(&step.author);
        config.config = run;
        config.history.push(History {
            empty_layer,
            ..step
        });
        let bytes = serde_json::to_vec(&config).map_err(LoadError::Json)?;
        // What could not be read back is never recorded.
        ImageConfig::parse(&bytes)?;
        let names: Vec<Reference> = name.into_iter().cloned().collect();
        let id = store.put(&bytes, layers, &names)?;
        Ok(Loaded { id, names, devices })
    })
}

/// Nothing to begin with, for this machine.
fn empty() -> ImageConfig {
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
fn complete_history(config: &mut ImageConfig, layers: usize) {
    let told = config.history.iter().filter(|step| !step.empty_layer);
    let untold = layers.saturating_sub(told.count());
    let unknown = std::iter::repeat_with(History::default).take(untold);
    config.history.extend(unknown);
}
