//! An image's configuration: what it says about itself and how its containers start.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};

use crate::image::digest::DiffId;
use crate::image::limits::{MAX_LAYERS, MAX_METADATA_BYTES};

/// Why bytes are no image configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not the JSON that it should be.
    #[error("the image's configuration is not valid JSON of the OCI or Docker format")]
    Json(#[source] serde_json::Error),
    /// Larger than any honest one.
    #[error(
        "the image's configuration has {0} bytes, more than the {MAX_METADATA_BYTES} that are read"
    )]
    TooLarge(usize),
    /// `rootfs.type` is not `layers`.
    #[error("the image's root file system is of type `{0}`; only `layers` is supported")]
    RootfsType(String),
    /// More layers than can be mounted.
    #[error(
        "the image has {0} layers, more than the {MAX_LAYERS} that can be mounted: rebuild it with fewer"
    )]
    TooManyLayers(usize),
}

/// The configuration (image-spec, "OCI Image Configuration"; Docker's image format v1.2). Fields
/// that keel does not use are kept in the store's copy of the bytes, not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When it was made, RFC 3339, as its maker wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Go's name of the processor: `amd64`, `386`, `arm64`.
    #[serde(default)]
    pub architecture: String,
    /// The processor's variant, such as `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Go's name of the system: `linux`.
    #[serde(default)]
    pub os: String,
    /// How containers start.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: RunConfig,
    /// The layers.
    pub rootfs: RootFs,
    /// How each layer came about, lowest first.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub history: Vec<History>,
}

/// How a container of the image starts unless told otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RunConfig {
    /// `USER[:GROUP]`, names or numbers; empty is root.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub user: String,
    /// Ports such as `80/tcp` that a service listens on.
    #[serde(with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// `NAME=value` each.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub env: Vec<String>,
    /// The command's first words, which arguments do not replace.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub entrypoint: Vec<String>,
    /// The command's other words, which arguments replace.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub cmd: Vec<String>,
    /// Paths whose files outlive the container.
    #[serde(with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// The first folder; empty is `/`.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub working_dir: String,
    /// Labels.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks it to end, such as `SIGTERM`; empty is that.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub stop_signal: String,
    /// How to tell whether a container is well; `None`: as the image below says, or not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// The words before a command that is written as one text; empty: `/bin/sh -c`.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub shell: Vec<String>,
    /// Instructions for the build of an image on top of this one.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub on_build: Vec<String>,
}

/// How to tell whether a container is well. Times are nanoseconds; zero is the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `["NONE"]`; `["CMD", PROGRAM, …]`; or `["CMD-SHELL", SCRIPT]`. Empty: as below.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub test: Vec<String>,
    /// Between two looks.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// How long one look may take.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// How long failures do not count after the start.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Between two looks during that time.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// The layers, by the digests of their uncompressed tars, lowest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The layers.
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<DiffId>,
}

/// How a layer came about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// When, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By which command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// By whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// A remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether it changed only the configuration, and has no layer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// Docker's sets are objects with `{}` for each member.
mod set {
    use std::collections::BTreeSet;

    use serde::{Deserialize as _, Deserializer, Serializer};
    use serde_json::Value;

    pub(super) fn serialize<S: Serializer>(
        set: &BTreeSet<String>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let empty = serde_json::Map::new();
        to.collect_map(set.iter().map(|member| (member, &empty)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeSet<String>, D::Error> {
        let members = Option::<serde_json::Map<String, Value>>::deserialize(from)?;
        Ok(members
            .unwrap_or_default()
            .into_iter()
            .map(|(member, _)| member)
            .collect())
    }
}

/// Docker writes `null` for what is empty.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl ImageConfig {
    /// Reads and checks a configuration.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        if bytes.len() > MAX_METADATA_BYTES {
            return Err(ConfigError::TooLarge(bytes.len()));
        }
        let config: Self = serde_json::from_slice(bytes).map_err(ConfigError::Json)?;
        if config.rootfs.kind != "layers" {
            let kind = config.rootfs.kind.chars().take(100).collect();
            return Err(ConfigError::RootfsType(kind));
        }
        let layers = config.rootfs.diff_ids.len();
        if layers > MAX_LAYERS {
            return Err(ConfigError::TooManyLayers(layers));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_as_docker_writes_it_is_read() {
        let config = ImageConfig::parse(
            br#"{"architecture":"amd64","config":{"Hostname":"","User":"1000:100","ExposedPorts":{"80/tcp":{}},
            "Env":["PATH=/bin"],"Entrypoint":null,"Cmd":["sh","-c"],"Volumes":null,"WorkingDir":"/srv",
            "Labels":null,"OnBuild":null,"Healthcheck":{"Test":["NONE"]}},
            "container":"f0","created":"2024-01-02T03:04:05Z","docker_version":"20.10","history":null,
            "os":"linux","rootfs":{"type":"layers","diff_ids":null}}"#,
        )
        .unwrap();
        assert_eq!(config.config.cmd, ["sh", "-c"]);
        assert_eq!(config.config.user, "1000:100");
        assert!(config.config.entrypoint.is_empty());
        assert!(config.config.exposed_ports.contains("80/tcp"));
    }

    #[test]
    fn sets_are_written_as_docker_writes_them() {
        let mut config = RunConfig::default();
        config.volumes.insert("/data".to_owned());
        assert_eq!(
            serde_json::to_string(&config).unwrap(),
            r#"{"Volumes":{"/data":{}}}"#
        );
    }

    #[test]
    fn other_root_file_systems_and_endless_stacks_are_refused() {
        let other = br#"{"rootfs":{"type":"windows"}}"#;
        assert!(matches!(
            ImageConfig::parse(other),
            Err(ConfigError::RootfsType(_))
        ));
        let digest = DiffId::new(crate::image::digest::Digest::of(b""));
        let ids = vec![digest; MAX_LAYERS + 1];
        let many = serde_json::json!({"rootfs": {"type": "layers", "diff_ids": ids}});
        assert!(matches!(
            ImageConfig::parse(many.to_string().as_bytes()),
            Err(ConfigError::TooManyLayers(_))
        ));
    }

    #[test]
    fn a_null_configuration_starts_with_nothing() {
        let config = ImageConfig::parse(br#"{"config":null,"rootfs":{"type":"layers"}}"#).unwrap();
        assert_eq!(config.config, RunConfig::default());
    }
}
