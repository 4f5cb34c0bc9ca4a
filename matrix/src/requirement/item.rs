//! One requirement, as its TOML entry has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::{Level, RequirementId};
use crate::version::KernelVersion;

/// Something that a kernel must, should or may have for a container engine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// The stable name.
    pub id: RequirementId,
    /// What it gives, in half a line for a person.
    pub title: String,
    /// How much hangs on it.
    pub level: Level,
    /// The alternatives, in the order in which they are recommended: any one is enough.
    /// Empty for what only a version or a probe can tell.
    #[serde(default)]
    pub ways: Vec<Way>,
    /// The oldest mainline version that can meet it: an older kernel lacks it, whatever its
    /// vendor changed.
    #[serde(default, deserialize_with = "version")]
    pub minimum: Option<KernelVersion>,
    /// From when on the kernel has it without any option of its own.
    #[serde(default)]
    pub always_on: Option<AlwaysOn>,
    /// Options that must be on for the question to make sense (`SMP` for cpusets): when the
    /// configuration has none of them on, the requirement does not apply.
    #[serde(default)]
    pub only_if: Vec<String>,
    /// Where it is documented, and who needs it.
    pub source: String,
    /// Boot parameters that bring it, where one can.
    #[serde(default)]
    pub boot: Vec<String>,
    /// Packages that bring it, by distribution id.
    #[serde(default)]
    pub packages: BTreeMap<String, String>,
    /// What a person should know besides.
    #[serde(default)]
    pub note: Option<String>,
}

/// One way to meet a requirement: options that must all be on, in a range of kernels.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Way {
    /// The options, without `CONFIG_`; all must be on.
    pub options: Vec<String>,
    /// The first mainline version that has this way.
    #[serde(default, deserialize_with = "version")]
    pub since: Option<KernelVersion>,
    /// The last mainline version that has it.
    #[serde(default, deserialize_with = "version")]
    pub until: Option<KernelVersion>,
    /// What these options depend on: nothing to judge by, but a remedy turns it on as well.
    /// Some of it exists in some kernels only, so a remedy leaves out what it can't know.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Whether the options alone prove nothing outside of the range, because older kernels
    /// have options of the same name that do something else.
    #[serde(default)]
    pub strict: bool,
}

/// When a kernel came to have something without any option.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlwaysOn {
    /// The first mainline version that needs no option.
    #[serde(deserialize_with = "known_version")]
    pub since: KernelVersion,
    /// What it still needs.
    #[serde(default)]
    pub options: Vec<String>,
    /// The oldest version in which a vendor has it too; there, a configuration that no longer
    /// mentions the option shows that it is always on.
    #[serde(default, deserialize_with = "version")]
    pub vendors_since: Option<KernelVersion>,
}

impl Way {
    /// Whether a kernel of `version` has this way, by mainline's history.
    pub fn fits(&self, version: KernelVersion) -> bool {
        self.since.is_none_or(|since| since <= version)
            && self.until.is_none_or(|until| version.series() <= until)
    }
}

impl Requirement {
    /// The version from which on any way exists; `None` when that is before memory.
    pub fn since(&self) -> Option<KernelVersion> {
        let first = self.ways.iter().map(|way| way.since).min();
        first.flatten().or_else(|| {
            let always = self.always_on.as_ref().filter(|_| self.ways.is_empty());
            always.map(|always| always.since)
        })
    }

    /// The last version that has any way; `None` when the newest does.
    pub fn until(&self) -> Option<KernelVersion> {
        let ends: Option<Vec<_>> = self.ways.iter().map(|way| way.until).collect();
        ends.and_then(|ends| ends.into_iter().max())
    }

    /// Every option that any way names, each once, in the order of the ways.
    pub fn options(&self) -> Vec<&str> {
        let mut seen = Vec::new();
        for option in self.ways.iter().flat_map(|way| &way.options) {
            if !seen.contains(&option.as_str()) {
                seen.push(option);
            }
        }
        seen
    }
}

fn known_version<'de, D: Deserializer<'de>>(source: D) -> Result<KernelVersion, D::Error> {
    String::deserialize(source)?
        .parse()
        .map_err(serde::de::Error::custom)
}

fn version<'de, D: Deserializer<'de>>(source: D) -> Result<Option<KernelVersion>, D::Error> {
    known_version(source).map(Some)
}
