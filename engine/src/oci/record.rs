//! What is kept about a container, and what is told about it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Status;
use crate::container::state::Incarnation;
use crate::rootless;

/// The version of the format of a runtime container's `state.json`.
const SCHEMA: &str = "keel.runtime-state/1";

/// The contents of a container's `state.json`. Written twice: when it is being created, and when
/// its process is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    schema: String,
    /// The specification's version in its `config.json`.
    pub(super) oci_version: String,
    /// Its id.
    pub id: String,
    /// Its bundle.
    pub bundle: PathBuf,
    /// Its root file system.
    pub rootfs: PathBuf,
    /// When it was created, RFC 3339 in UTC.
    pub created: String,
    /// Who created it: a user's number.
    pub owner: u32,
    /// Those of its `config.json`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Its control group, on a system that has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Its first process, from the moment that its environment is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Incarnation>,
}

impl Record {
    /// Of a container that is being created from a bundle.
    pub(super) fn new(id: &super::ContainerId, bundle: &super::Bundle) -> Self {
        let annotations = bundle.spec.annotations().iter().flatten();
        Self {
            schema: SCHEMA.to_owned(),
            oci_version: bundle.spec.version().clone(),
            id: id.to_string(),
            bundle: bundle.folder.clone(),
            rootfs: bundle.rootfs.clone(),
            created: format!("{:.9}", jiff::Timestamp::now()),
            owner: rootless::host_uid(),
            annotations: annotations
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            cgroup: None,
            process: None,
        }
    }

    /// What the specification calls the state of a container, for hooks: `status` and `pid` are
    /// those of the moment.
    pub(super) fn hook_state(&self, status: &'static str, pid: Option<u32>) -> String {
        let state = HookState {
            oci_version: &self.oci_version,
            id: &self.id,
            status,
            pid,
            bundle: &self.bundle,
            annotations: &self.annotations,
        };
        // Strings and numbers, whose paths were text in a configuration.
        serde_json::to_string(&state).unwrap_or_default()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HookState<'a> {
    oci_version: &'a str,
    id: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    bundle: &'a std::path::Path,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

/// The answer of `state`, and an entry of `list`: what the specification asks for, and what runc
/// tells besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    oci_version: String,
    /// Its id.
    pub id: String,
    /// What it is doing.
    pub status: Status,
    /// Its first process, as long as there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its bundle.
    pub bundle: PathBuf,
    /// Its root file system.
    pub rootfs: PathBuf,
    /// When it was created.
    pub created: String,
    /// Who created it: a user's number.
    pub owner: u32,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

impl State {
    pub(super) fn of(record: Record, status: Status) -> Self {
        let pid = record.process.map(|process| process.pid);
        Self {
            oci_version: record.oci_version,
            id: record.id,
            status,
            pid: pid.filter(|_| status.has_process()),
            bundle: record.bundle,
            rootfs: record.rootfs,
            created: record.created,
            owner: record.owner,
            annotations: record.annotations,
        }
    }
}
