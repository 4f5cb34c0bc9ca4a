//! What `docker save` writes: with `manifest.json` since 1.10, only with `repositories` before.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::image::archive::{
    ArchiveError, Files, Planned, PlannedConfig, PlannedLayer, read_config, read_json, read_name,
};
use crate::image::digest::{DiffId, Digest};
use crate::image::layer::Expected;
use crate::image::limits::{MAX_IMAGES, MAX_LAYERS};
use crate::image::reference::Reference;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

fn items(files: &Files) -> Result<Vec<Item>, ArchiveError> {
    let items: Vec<Item> = read_json("manifest.json", &files.metadata("manifest.json")?)?;
    if items.len() > MAX_IMAGES {
        return Err(ArchiveError::TooMany);
    }
    Ok(items)
}

impl Item {
    fn names(&self) -> Result<Vec<Reference>, ArchiveError> {
        let tags = self.repo_tags.iter().flatten();
        tags.map(|name| read_name(name)).collect()
    }

    /// The configuration, whose digest is that of its file's name.
    fn config(&self, files: &Files) -> Result<Vec<u8>, ArchiveError> {
        let bytes = files.metadata(&self.config)?;
        let file = self.config.rsplit('/').next().unwrap_or_default();
        let stem = file.strip_suffix(".json").unwrap_or(file);
        if let Ok(expected) = Digest::from_hex(stem) {
            let found = Digest::of(&bytes);
            if found != expected {
                return Err(ArchiveError::Digest {
                    path: self.config.clone(),
                    found,
                    expected,
                });
            }
        }
        Ok(bytes)
    }
}

/// Names by the digest of the configuration that they stand for.
pub(super) fn names_by_config(
    files: &Files,
) -> Result<Vec<(Digest, Vec<Reference>)>, ArchiveError> {
    items(files)?
        .iter()
        .map(|item| Ok((Digest::of(&item.config(files)?), item.names()?)))
        .collect()
}

pub(super) fn plan(files: &Files) -> Result<Vec<Planned>, ArchiveError> {
    let mut planned = Vec::new();
    for item in items(files)? {
        let bytes = item.config(files)?;
        let config = read_config(&item.config, &bytes)?;
        let diff_ids = &config.rootfs.diff_ids;
        let paths = item.layers.as_deref().unwrap_or_default();
        if diff_ids.len() != paths.len() {
            return Err(ArchiveError::Count {
                layers: paths.len(),
                diff_ids: diff_ids.len(),
            });
        }
        let layer = |(path, diff_id): (&String, &DiffId)| PlannedLayer {
            path: path.clone(),
            expected: Expected {
                blob: None,
                diff_id: Some(*diff_id),
            },
        };
        planned.push(Planned {
            layers: paths.iter().zip(diff_ids).map(layer).collect(),
            names: item.names()?,
            config: PlannedConfig::Ready(bytes),
        });
    }
    Ok(planned)
}

/// Before 1.10: `repositories` has `{"name":{"tag":"id"}}`, and each layer is a folder of its id
/// with `json`, which names its parent, and `layer.tar`.
pub(super) fn plan_legacy(files: &Files) -> Result<Vec<Planned>, ArchiveError> {
    let repositories: BTreeMap<String, BTreeMap<String, Digest64>> =
        read_json("repositories", &files.metadata("repositories")?)?;
    let mut names: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
    for (name, tags) in repositories {
        for (tag, Digest64(id)) in tags {
            let name = read_name(&format!("{name}:{tag}"))?;
            names.entry(id).or_default().push(name);
        }
    }
    if names.len() > MAX_IMAGES {
        return Err(ArchiveError::TooMany);
    }
    names
        .into_iter()
        .map(|(id, names)| {
            let mut layers = Vec::new();
            let mut next = Some(id.clone());
            while let Some(id) = next {
                if layers.len() >= MAX_LAYERS {
                    return Err(ArchiveError::TooMany);
                }
                let link: Link = read_json("json", &files.metadata(&format!("{id}/json"))?)?;
                layers.push(PlannedLayer {
                    path: format!("{id}/layer.tar"),
                    expected: Expected::default(),
                });
                next = link.parent.map(|Digest64(id)| id);
            }
            layers.reverse();
            let config = read_json("json", &files.metadata(&format!("{id}/json"))?)?;
            Ok(Planned {
                config: PlannedConfig::Legacy(Box::new(config)),
                layers,
                names,
            })
        })
        .collect()
}

#[derive(Deserialize)]
struct Link {
    parent: Option<Digest64>,
}

/// 64 hexadecimal figures: an id that may be part of a path (CVE-2014-9358).
struct Digest64(String);

impl<'de> Deserialize<'de> for Digest64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match Digest::from_hex(&text) {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(serde::de::Error::custom(error)),
        }
    }
}

/// The configuration of an image from before 1.10, now that its layers are known.
pub(in crate::image) fn finish_legacy(
    old: &Value,
    diff_ids: &[DiffId],
) -> Result<Vec<u8>, serde_json::Error> {
    let mut config = serde_json::Map::new();
    for key in ["architecture", "author", "config", "created", "os"] {
        if let Some(value) = old.get(key) {
            config.insert(key.to_owned(), value.clone());
        }
    }
    let rootfs = serde_json::json!({"type": "layers", "diff_ids": diff_ids});
    config.insert("rootfs".to_owned(), rootfs);
    serde_json::to_vec(&config)
}
