//! OCI layouts (image-spec, "OCI Image Layout"), Docker's from version 25 on included.

use serde::Deserialize;

use crate::image::archive::{
    ArchiveError, Files, Planned, PlannedConfig, PlannedLayer, docker, read_config, read_json,
    read_name,
};
use crate::image::digest::{DiffId, Digest};
use crate::image::layer::Expected;
use crate::image::limits::{MAX_IMAGES, MAX_INDEX_DEPTH};
use crate::image::manifest::{Descriptor, Document, Manifest, Platform};
use crate::image::reference::Reference;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    image_layout_version: String,
}

/// The full name, as containerd and Docker note it.
const FULL_NAME: &str = "io.containerd.image.name";
/// The name, or only the tag: tools do not agree.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

pub(super) fn plan(files: &Files) -> Result<Vec<Planned>, ArchiveError> {
    let layout: Layout = read_json("oci-layout", &files.metadata("oci-layout")?)?;
    if !layout.image_layout_version.starts_with("1.") {
        let version = layout.image_layout_version;
        return Err(ArchiveError::Version(version.chars().take(100).collect()));
    }
    let bytes = files.metadata("index.json")?;
    let Document::Index(index) = parse("index.json", &bytes)? else {
        return Err(ArchiveError::Format);
    };
    let mut walk = Walk {
        files,
        here: Platform::here(),
        planned: Vec::new(),
        others: Vec::new(),
        seen: 0,
    };
    for descriptor in &index.manifests {
        walk.descriptor(descriptor, &names_of(descriptor)?, 0)?;
    }
    let mut planned = walk.planned;
    if planned.is_empty() && !walk.others.is_empty() {
        walk.others.dedup();
        return Err(ArchiveError::Platform {
            wanted: format!("{}/{}", walk.here.os, walk.here.architecture),
            found: walk.others,
        });
    }
    if files.has("manifest.json")? {
        for (config, names) in docker::names_by_config(files)? {
            for image in &mut planned {
                let PlannedConfig::Ready(bytes) = &image.config else {
                    continue;
                };
                if Digest::of(bytes) == config {
                    image.names.extend(names.iter().cloned());
                    image.names.sort();
                    image.names.dedup();
                }
            }
        }
    }
    Ok(planned)
}

fn parse(path: &str, bytes: &[u8]) -> Result<Document, ArchiveError> {
    Document::parse(bytes).map_err(|source| ArchiveError::Manifest {
        path: path.to_owned(),
        source,
    })
}

fn names_of(descriptor: &Descriptor) -> Result<Vec<Reference>, ArchiveError> {
    let Some(annotations) = &descriptor.annotations else {
        return Ok(Vec::new());
    };
    if let Some(name) = annotations.get(FULL_NAME) {
        return Ok(vec![read_name(name)?]);
    }
    match annotations.get(REF_NAME) {
        // A bare tag names no image.
        Some(name) if name.contains([':', '/', '@']) => Ok(vec![read_name(name)?]),
        _ => Ok(Vec::new()),
    }
}

struct Walk<'a> {
    files: &'a Files,
    here: Platform,
    planned: Vec<Planned>,
    /// Platforms that were passed over.
    others: Vec<String>,
    /// Descriptors looked at, all in all.
    seen: usize,
}

impl Walk<'_> {
    fn descriptor(
        &mut self,
        descriptor: &Descriptor,
        names: &[Reference],
        depth: usize,
    ) -> Result<(), ArchiveError> {
        self.seen += 1;
        if depth > MAX_INDEX_DEPTH || self.seen > MAX_IMAGES {
            return Err(ArchiveError::TooMany);
        }
        if let Some(platform) = descriptor.platform.as_ref().filter(|p| !self.fits(p)) {
            // Attestations are "for" unknown/unknown.
            if platform.os != "unknown" {
                self.others
                    .push(format!("{}/{}", platform.os, platform.architecture));
            }
            return Ok(());
        }
        let (path, bytes) = self.blob(descriptor)?;
        match parse(&path, &bytes)? {
            Document::Manifest(manifest) => {
                let image = self.manifest(&manifest, names)?;
                self.planned.push(image);
            }
            Document::Index(index) => {
                for inner in &index.manifests {
                    self.descriptor(inner, names, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    fn fits(&self, platform: &Platform) -> bool {
        (platform.os.is_empty() || platform.os == self.here.os)
            && (platform.architecture.is_empty() || platform.architecture == self.here.architecture)
    }

    fn manifest(&self, manifest: &Manifest, names: &[Reference]) -> Result<Planned, ArchiveError> {
        let (path, bytes) = self.blob(&manifest.config)?;
        let config = read_config(&path, &bytes)?;
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != manifest.layers.len() {
            return Err(ArchiveError::Count {
                layers: manifest.layers.len(),
                diff_ids: diff_ids.len(),
            });
        }
        let layer = |(descriptor, diff_id): (&Descriptor, &DiffId)| PlannedLayer {
            path: path_of(&descriptor.digest),
            expected: Expected {
                blob: Some((descriptor.digest, descriptor.size)),
                diff_id: Some(*diff_id),
            },
        };
        Ok(Planned {
            layers: manifest.layers.iter().zip(diff_ids).map(layer).collect(),
            config: PlannedConfig::Ready(bytes),
            names: names.to_vec(),
        })
    }

    /// A blob of metadata, verified.
    fn blob(&self, descriptor: &Descriptor) -> Result<(String, Vec<u8>), ArchiveError> {
        let path = path_of(&descriptor.digest);
        let bytes = self.files.metadata(&path)?;
        let found = Digest::of(&bytes);
        if found != descriptor.digest {
            return Err(ArchiveError::Digest {
                path,
                found,
                expected: descriptor.digest,
            });
        }
        Ok((path, bytes))
    }
}

fn path_of(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
