//! The name and the weight of a requirement.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The stable name of a requirement: lower-case words joined by dots, from the general to the
/// special (`kernel.ns.pid`, `oci.lifecycle.kill`).
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct RequirementId(String);

/// A text that names no requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a requirement id: expected words of a-z, 0-9 and `-` joined by dots, like `kernel.ns.pid`"
)]
pub struct InvalidRequirementId(String);

impl RequirementId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The words before the last: `kernel.ns` of `kernel.ns.pid`.
    pub fn group(&self) -> &str {
        self.0.rsplit_once('.').map_or("", |(group, _)| group)
    }
}

impl FromStr for RequirementId {
    type Err = InvalidRequirementId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if text.len() <= 120 && text.contains('.') && text.split('.').all(word) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRequirementId(text.chars().take(120).collect()))
        }
    }
}

impl TryFrom<String> for RequirementId {
    type Error = InvalidRequirementId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RequirementId> for String {
    fn from(id: RequirementId) -> Self {
        id.0
    }
}

impl fmt::Display for RequirementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How much hangs on a requirement; ordered from the weightiest.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Without it the system is unsupported.
    Must,
    /// Without it the system is supported with a gap.
    Should,
    /// Some use of an engine needs it; its absence is worth a line, no more.
    May,
}

impl Level {
    /// Every level, the weightiest first.
    pub const ALL: [Self; 3] = [Self::Must, Self::Should, Self::May];

    /// The name that stands in files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
            Self::May => "may",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
