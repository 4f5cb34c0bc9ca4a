//! What a cell's `check.json` says, as far as a run cares.

use matrix::axis::{StorageDriver, TargetKind};
use matrix::event::Missing;
use serde::{Deserialize, Serialize};

use crate::provision::Breakage;

/// The document that `seaworthy check --running --format json` gives; members that a run
/// doesn't need are left to the file itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemCheck {
    /// What it comes to.
    pub verdict: SystemVerdict,
    /// Every requirement.
    pub requirements: Vec<CheckedRequirement>,
    /// Ids of the `must` requirements that are absent.
    pub missing: Vec<String>,
}

/// Whether the system can run an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SystemVerdict {
    /// It can.
    Supported,
    /// It can, and lacks what an engine should or may have.
    SupportedWithGaps,
    /// It can't.
    Unsupported,
}

/// One requirement as the check found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedRequirement {
    /// Its id (`kernel.ns.pid`).
    pub id: String,
    /// `must`, `should` or `may`.
    pub level: String,
    /// `met`, `module`, `absent`, `unknown` or `not-applicable`.
    pub state: String,
    /// Whether the system has it; false also where its kernel is too old for it.
    #[serde(default)]
    pub available: Option<bool>,
    /// The smallest change that would meet it.
    #[serde(default)]
    pub remedy: Option<String>,
}

impl SystemCheck {
    /// The document as it is, unless it contradicts itself: a system that is unsupported for no
    /// reason must not be taken for one that lacks nothing.
    pub(super) fn consistent(self) -> Result<Self, Breakage> {
        if self.verdict == SystemVerdict::Unsupported && self.missing.is_empty() {
            let detail = "the support check says `unsupported`, and names nothing that is missing";
            return Err(Breakage::new("check-failed", detail));
        }
        Ok(self)
    }

    /// What a cell with this storage driver would need and does not have: every absent `must`,
    /// and the driver itself, whatever its level.
    ///
    /// A micro target has loaded every module that it has before the check, and nothing there
    /// can load another: a driver that does not work by then is absent.
    pub fn missing_for(&self, storage: StorageDriver, target: TargetKind) -> Vec<Missing> {
        let remedy = |id: &str| {
            self.requirements
                .iter()
                .find(|requirement| requirement.id == id)
                .and_then(|requirement| requirement.remedy.clone())
                .unwrap_or_else(|| "use a kernel that has it".to_owned())
        };
        let driver = format!("kernel.storage.{storage}");
        let lacks_driver = self
            .requirements
            .iter()
            .filter(|requirement| requirement.id == driver)
            .any(|driver| {
                driver.state == "absent"
                    || driver.available == Some(false)
                    || (target == TargetKind::Micro && driver.state != "met")
            });
        let mut ids = self.missing.clone();
        if lacks_driver && !ids.contains(&driver) {
            ids.push(driver);
        }
        ids.into_iter()
            .map(|requirement| Missing {
                remedy: remedy(&requirement),
                requirement,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_needs_no_entry_of_its_own() {
        let check: SystemCheck = serde_json::from_str(
            r#"{"verdict":"unsupported","missing":["kernel.ns.pid"],"requirements":[]}"#,
        )
        .unwrap();
        let missing = check.missing_for(StorageDriver::Vfs, TargetKind::Host);
        assert_eq!(missing[0].requirement, "kernel.ns.pid");
    }

    #[test]
    fn the_driver_of_the_cell_is_a_must_for_the_cell() {
        let check: SystemCheck = serde_json::from_str(
            r#"{"schema":"seaworthy.check/1","verdict":"supported-with-gaps","missing":[],"requirements":[
                {"id":"kernel.storage.overlay","level":"should","state":"absent","remedy":"set CONFIG_OVERLAY_FS=m"},
                {"id":"kernel.storage.btrfs","level":"may","state":"module"},
                {"id":"kernel.ns.pid","level":"must","state":"met"}]}"#,
        )
        .unwrap();
        let missing = check.missing_for(StorageDriver::Overlay, TargetKind::Host);
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].requirement, "kernel.storage.overlay");
        assert_eq!(missing[0].remedy, "set CONFIG_OVERLAY_FS=m");
        let on = |target| check.missing_for(StorageDriver::Btrfs, target);
        assert_eq!(on(TargetKind::Host), []);
        assert_eq!(on(TargetKind::Micro).len(), 1, "its module was not loaded");
        assert_eq!(check.missing_for(StorageDriver::Vfs, TargetKind::Micro), []);
    }
}
