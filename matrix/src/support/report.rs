//! The document `seaworthy.check/1`.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::requirement::{Level, RequirementId};
use crate::version::KernelVersion;

/// The value of `schema` in the document.
pub const CHECK_SCHEMA: &str = "seaworthy.check/1";

/// Whether a system is supported, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Support {
    /// [`CHECK_SCHEMA`].
    pub schema: String,
    /// What was judged.
    pub kernel: KernelIdentity,
    /// What it came to.
    pub verdict: SupportVerdict,
    /// The storage drivers, and which of them can work there.
    pub drivers: Vec<Driver>,
    /// One finding a requirement, in the catalogue's order.
    pub requirements: Vec<Finding>,
    /// The ids of the absent musts; empty unless the verdict is `unsupported`.
    pub missing: Vec<RequirementId>,
    /// What a reader of the verdict must know: an unknown version, a vendor's backports.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The kernel that was judged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KernelIdentity {
    /// What `uname -r` would say; null when nothing says it.
    pub release: Option<String>,
    /// The mainline version that it is based on; null when nothing says it.
    pub version: Option<KernelVersion>,
    /// The architecture by Debian's name; null when nothing says it.
    pub arch: Option<String>,
    /// What was read: a path, or `running`.
    pub source: String,
}

/// What a support check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SupportVerdict {
    /// Every must and should is met or does not apply.
    Supported,
    /// No must is absent; a should is, or a must could not be decided.
    SupportedWithGaps,
    /// A must is absent.
    Unsupported,
}

impl SupportVerdict {
    /// The name that stands in the document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::SupportedWithGaps => "supported-with-gaps",
            Self::Unsupported => "unsupported",
        }
    }
}

impl fmt::Display for SupportVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whether a storage driver can work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Driver {
    /// `overlay`, `aufs`, `btrfs`, `vfs`.
    pub name: String,
    /// Whether the kernel has what it needs, built in or as a module.
    pub available: bool,
    /// Why, or why not.
    pub why: String,
}

/// What is known of one requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Which.
    pub id: RequirementId,
    /// How much hangs on it.
    pub level: Level,
    /// What it came to.
    pub state: State,
    /// Whether the system has what the requirement is about; also true where it is always on,
    /// false where the kernel is too old for it, null where it is unknown.
    pub available: Option<bool>,
    /// What it gives, in half a line.
    pub title: String,
    /// Why the state is what it is.
    pub why: String,
    /// The options that decide it in this kernel's era, with `CONFIG_`.
    pub options: Vec<String>,
    /// The first mainline version that has these options; null when older than 2.6.12.
    pub since: Option<String>,
    /// The last one; null when the newest has them.
    pub until: Option<String>,
    /// What to change, as one sentence; null where there is nothing to change.
    pub remedy: Option<String>,
    /// The same in parts, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Remedy>,
}

/// The smallest change that meets a requirement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Remedy {
    /// Lines for the kernel's configuration (`CONFIG_VETH=m`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<String>,
    /// Modules to load or to install.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
    /// Boot parameters to add.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boot: Vec<String>,
    /// Packages to install, by distribution id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub packages: BTreeMap<String, String>,
}

/// What a requirement came to.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The kernel has it, built in or loaded.
    Met,
    /// The kernel has it as a module that is to be loaded.
    Module,
    /// It could be there, and isn't.
    Absent,
    /// Nothing that was read tells.
    Unknown,
    /// The option does not exist in this kernel's era, or it is always on.
    NotApplicable,
}

impl State {
    /// The name that stands in the document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Module => "module",
            Self::Absent => "absent",
            Self::Unknown => "unknown",
            Self::NotApplicable => "not-applicable",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Support {
    /// The finding on one requirement; `None` when the check left its level out.
    pub fn finding(&self, id: &str) -> Option<&Finding> {
        self.requirements.iter().find(|f| f.id.as_str() == id)
    }

    /// Findings of one level and state.
    pub fn findings(&self, level: Level, state: State) -> impl Iterator<Item = &Finding> {
        self.requirements
            .iter()
            .filter(move |f| f.level == level && f.state == state)
    }
}
