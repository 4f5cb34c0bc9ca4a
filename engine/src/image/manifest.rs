//! Manifests and indexes of the OCI and Docker formats.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::image::digest::Digest;

/// A pointer to a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// For an index's manifests: where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Remarks; names of images are among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    /// Whether it is of a layer that registries need not have.
    pub fn is_foreign(&self) -> bool {
        self.media_type.contains(".nondistributable.") || self.media_type.contains(".foreign.")
    }

    /// A pointer to a blob of which nothing else is to be said.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            annotations: None,
        }
    }
}

/// Where an image runs, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// Such as `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// Such as `linux`.
    #[serde(default)]
    pub os: String,
    /// Such as `v7`, of processors that have variants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// A text that is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no platform: write `OS/ARCHITECTURE[/VARIANT]`, such as `linux/arm64`")]
pub struct MalformedPlatform(String);

impl FromStr for Platform {
    type Err = MalformedPlatform;

    fn from_str(text: &str) -> Result<Self, MalformedPlatform> {
        let malformed = || MalformedPlatform(text.chars().take(100).collect());
        let mut words = text.split('/');
        let mut word = || {
            words.next().map(str::to_lowercase).filter(|word| {
                !word.is_empty()
                    && word
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            })
        };
        let (os, architecture, variant) = (word(), word(), word());
        let platform = Self {
            os: os.ok_or_else(malformed)?,
            architecture: match architecture.ok_or_else(malformed)?.as_str() {
                "x86_64" => "amd64".to_owned(),
                "aarch64" => "arm64".to_owned(),
                other => other.to_owned(),
            },
            variant,
        };
        let same = text.split('/').count() == 2 + usize::from(platform.variant.is_some());
        same.then_some(platform).ok_or_else(malformed)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl Platform {
    /// Where this program runs.
    pub fn here() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            other => other,
        };
        Self {
            architecture: architecture.to_owned(),
            os: std::env::consts::OS.to_owned(),
            variant: None,
        }
    }

    /// Whether an image for `found` is for this platform. Without a variant any will do.
    pub fn takes(&self, found: &Self) -> bool {
        let variant = |platform: &Self| match (&platform.variant, platform.architecture.as_str()) {
            // There is only one, whether it is told or not.
            (None, "arm64") => Some("v8".to_owned()),
            (variant, _) => variant.clone(),
        };
        (&self.os, &self.architecture) == (&found.os, &found.architecture)
            && (self.variant.is_none() || variant(self) == variant(found))
    }
}

/// What a descriptor of an image can point to.
#[derive(Debug, Clone)]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// Several images, or one for several platforms.
    Index(Index),
}

/// An image: its configuration and layers, lowest first.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The configuration.
    pub config: Descriptor,
    /// The layers.
    pub layers: Vec<Descriptor>,
}

impl Manifest {
    /// Its media type, if its own text does not say: that of the format of its configuration.
    pub(super) fn implied_type(&self) -> &'static str {
        let docker = self.config.media_type == CONFIGS[1];
        if docker { MANIFESTS[1] } else { MANIFESTS[0] }
    }

    /// As OCI has it; the same manifest always gives the same bytes.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Oci<'a> {
            schema_version: u8,
            media_type: &'static str,
            config: &'a Descriptor,
            layers: &'a [Descriptor],
        }
        serde_json::to_vec(&Oci {
            schema_version: 2,
            media_type: MANIFESTS[0],
            config: &self.config,
            layers: &self.layers,
        })
    }
}

/// Several manifests.
#[derive(Debug, Clone)]
pub struct Index {
    /// The manifests, or further indexes.
    pub manifests: Vec<Descriptor>,
}

/// Why bytes are no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not the JSON that it should be.
    #[error("the manifest is not valid JSON of the OCI or Docker format")]
    Json(#[source] serde_json::Error),
    /// Docker's first format.
    #[error(
        "the manifest is of schema {0}; only schema 2 is supported: save or push the image again with a newer engine"
    )]
    Schema(u64),
    /// CVE-2021-41190: one reader sees an index, another a manifest.
    #[error("the manifest is ambiguous: it has both `layers` and `manifests`")]
    Ambiguous,
    /// Neither.
    #[error("the manifest has neither `config` and `layers` nor `manifests`")]
    Neither,
    /// It says that it is something else than it is.
    #[error("the manifest's media type is `{0}`, which does not fit what it holds")]
    MediaType(String),
    /// Something that is no layer of a container's image.
    #[error("`{0}` is no media type of a layer that keel can unpack")]
    Layer(String),
    /// An artifact that is no container image.
    #[error("`{0}` is no media type of a container image's configuration")]
    Config(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    schema_version: u64,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    #[serde(rename = "fsLayers")]
    fs_layers: Option<serde::de::IgnoredAny>,
}

/// Media types of manifests: OCI's, Docker's.
pub(super) const MANIFESTS: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// Media types of indexes: OCI's, Docker's.
pub(super) const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// Media types of configurations: OCI's, Docker's.
pub(super) const CONFIGS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];
/// Media types of layers.
pub(super) const LAYERS: [&str; 8] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
];

impl Document {
    /// Reads a manifest or index, and checks that it is only one of them.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let raw: Raw = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if raw.fs_layers.is_some() || raw.schema_version == 1 {
            return Err(ManifestError::Schema(1));
        }
        if raw.schema_version != 2 {
            return Err(ManifestError::Schema(raw.schema_version));
        }
        let fits = |known: &[&str]| match &raw.media_type {
            Some(given) if !known.contains(&given.as_str()) => {
                Err(ManifestError::MediaType(given.chars().take(100).collect()))
            }
            _ => Ok(()),
        };
        match (raw.config, raw.layers, raw.manifests) {
            (None, None, Some(manifests)) => {
                fits(&INDEXES)?;
                Ok(Self::Index(Index { manifests }))
            }
            (Some(config), Some(layers), None) => {
                fits(&MANIFESTS)?;
                if !CONFIGS.contains(&config.media_type.as_str()) {
                    return Err(ManifestError::Config(config.media_type));
                }
                let strange = |layer: &&Descriptor| !LAYERS.contains(&layer.media_type.as_str());
                if let Some(layer) = layers.iter().find(strange) {
                    return Err(ManifestError::Layer(layer.media_type.clone()));
                }
                Ok(Self::Manifest(Manifest { config, layers }))
            }
            (_, Some(_), Some(_)) | (Some(_), _, Some(_)) => Err(ManifestError::Ambiguous),
            _ => Err(ManifestError::Neither),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn descriptor(kind: &str) -> serde_json::Value {
        serde_json::json!({"mediaType": kind, "digest": Digest::of(b"").to_string(), "size": 0})
    }

    #[test]
    fn a_manifest_and_an_index_are_told_apart() {
        let manifest = serde_json::json!({
            "schemaVersion": 2, "config": descriptor(CONFIGS[0]), "layers": [descriptor(LAYERS[2])]
        });
        assert!(matches!(
            Document::parse(manifest.to_string().as_bytes()),
            Ok(Document::Manifest(_))
        ));
        let index =
            serde_json::json!({"schemaVersion": 2, "manifests": [descriptor(MANIFESTS[0])]});
        assert!(matches!(
            Document::parse(index.to_string().as_bytes()),
            Ok(Document::Index(_))
        ));
    }

    #[test]
    fn cve_2021_41190_a_document_that_is_both_is_refused() {
        let both = serde_json::json!({
            "schemaVersion": 2, "config": descriptor(CONFIGS[0]), "layers": [], "manifests": []
        });
        assert!(matches!(
            Document::parse(both.to_string().as_bytes()),
            Err(ManifestError::Ambiguous)
        ));
        let lying = serde_json::json!({
            "schemaVersion": 2, "mediaType": INDEXES[0], "config": descriptor(CONFIGS[0]), "layers": []
        });
        assert!(matches!(
            Document::parse(lying.to_string().as_bytes()),
            Err(ManifestError::MediaType(_))
        ));
    }

    #[test]
    fn a_platform_is_written_as_docker_has_it() {
        let platform = |text: &str| {
            text.parse::<Platform>()
                .map(|platform| platform.to_string())
        };
        assert_eq!(platform("linux/amd64").unwrap(), "linux/amd64");
        assert_eq!(platform("Linux/x86_64").unwrap(), "linux/amd64");
        assert_eq!(platform("linux/arm/v7").unwrap(), "linux/arm/v7");
        for wrong in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "linux/arm/v7/x",
            "linux/a b",
            "linux/arm/",
        ] {
            assert!(platform(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_platform_takes_its_variant_or_any() {
        let takes = |wanted: &str, found: &str| {
            let (wanted, found): (Platform, Platform) =
                (wanted.parse().unwrap(), found.parse().unwrap());
            wanted.takes(&found)
        };
        assert!(takes("linux/arm", "linux/arm/v7"));
        assert!(takes("linux/arm64/v8", "linux/arm64"));
        assert!(!takes("linux/arm/v6", "linux/arm/v7"));
        assert!(!takes("linux/arm64", "linux/amd64"));
        assert!(!takes("linux/amd64", "windows/amd64"));
    }

    #[test]
    fn schema_1_is_refused_by_name() {
        for old in [
            r#"{"schemaVersion":1,"fsLayers":[]}"#,
            r#"{"schemaVersion":2,"fsLayers":[]}"#,
        ] {
            let error = Document::parse(old.as_bytes()).unwrap_err();
            assert!(matches!(error, ManifestError::Schema(1)), "{error}");
        }
    }

    #[test]
    fn what_is_no_container_image_is_refused() {
        let artifact = serde_json::json!({
            "schemaVersion": 2, "config": descriptor("application/vnd.cncf.helm.config.v1+json"), "layers": []
        });
        assert!(matches!(
            Document::parse(artifact.to_string().as_bytes()),
            Err(ManifestError::Config(_))
        ));
        let encrypted = serde_json::json!({
            "schemaVersion": 2, "config": descriptor(CONFIGS[0]),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip+encrypted")]
        });
        assert!(matches!(
            Document::parse(encrypted.to_string().as_bytes()),
            Err(ManifestError::Layer(_))
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(Document::parse(&data));
        }
    }
}
