//! Cells: the points of the matrix.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arch::Arch;
use crate::axis::{CgroupMode, StorageDriver, TargetKind};

/// The stable name of a cell: `DISTRO-RELEASE/KERNEL/ARCH/STORAGE/CGROUP`, for example
/// `debian-12/6.1/amd64/overlay/v2`.
///
/// The same on every machine and in every release of Seaworthy. It is also the cell's folder
/// below `cells/` in a run folder, so no part may be empty, start with a dot or hold anything
/// but ASCII letters, digits and `.`, `_`, `+`, `-`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct CellId(String);

/// A text that names no cell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a cell id: expected `DISTRO-RELEASE/KERNEL/ARCH/STORAGE/CGROUP`")]
pub struct InvalidCellId(String);

impl CellId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CellId {
    type Err = InvalidCellId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let well_formed = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
        };
        if text.split('/').count() == 5 && text.split('/').all(well_formed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidCellId(text.chars().take(120).collect()))
        }
    }
}

impl TryFrom<String> for CellId {
    type Error = InvalidCellId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CellId> for String {
    fn from(id: CellId) -> Self {
        id.0
    }
}

impl fmt::Display for CellId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One point of the matrix: distribution × release × kernel × architecture × storage driver
/// × cgroup mode, with what runs there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cell {
    /// The stable name.
    pub id: CellId,
    /// The distribution's id, as `/etc/os-release` has it (`debian`).
    pub distro: String,
    /// Its release (`12`).
    pub release: String,
    /// The kernel series (`6.1`) or, for a kernel of the user's own, its name.
    pub kernel: String,
    /// What the kernel is built for.
    pub arch: Arch,
    /// The storage driver that the engine is told to use.
    pub storage: StorageDriver,
    /// How the cell's control groups are mounted.
    pub cgroup: CgroupMode,
    /// The kind of machine that runs it.
    pub target: TargetKind,
    /// The suites that run in it.
    pub suites: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_the_run_folder() {
        for text in [
            "",
            "a/b/c/d",
            "a/b/c/d/e/f",
            "a/../c/d/e",
            "/b/c/d/e",
            "a/b/c/d/",
            "a/b b/c/d/e",
            "a/b/c/d/é",
        ] {
            assert!(text.parse::<CellId>().is_err(), "{text}");
        }
        assert!("debian-12/6.1/amd64/overlay/v2".parse::<CellId>().is_ok());
    }
}
