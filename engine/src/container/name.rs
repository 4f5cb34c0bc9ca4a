//! Container names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::ContainerId;

/// A container's name: a letter or figure, then letters, figures, `_`, `.` and `-`, as Docker's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Folders are called `NAME-SHORTID`, and a folder's name has at most 255 bytes.
const MAX_LEN: usize = 200;

/// Not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot name a container; use letters, figures, `_`, `.` and `-`, a letter or figure \
     first, at least 2 and at most {MAX_LEN}"
)]
pub struct NotAName(String);

const QUALITIES: [&str; 32] = [
    "able", "amber", "bold", "brave", "bright", "brisk", "calm", "clear", "copper", "deep", "fair",
    "fleet", "fresh", "gentle", "golden", "hardy", "keen", "lively", "loyal", "mellow", "nimble",
    "noble", "polar", "proud", "quiet", "ready", "silver", "steady", "stout", "sunny", "tidal",
    "trim",
];
const THINGS: [&str; 32] = [
    "albatross",
    "anchor",
    "barge",
    "beacon",
    "bosun",
    "bow",
    "brig",
    "buoy",
    "capstan",
    "clipper",
    "compass",
    "cutter",
    "dinghy",
    "dory",
    "ferry",
    "galley",
    "halyard",
    "harbour",
    "helm",
    "hull",
    "keel",
    "ketch",
    "lantern",
    "lugger",
    "mast",
    "oar",
    "pilot",
    "rudder",
    "schooner",
    "sextant",
    "sloop",
    "yawl",
];

impl Name {
    /// A name for the container `id`; each `attempt` gives another, with figures from the second.
    pub fn for_container(id: &ContainerId, attempt: u32) -> Self {
        let seed = id
            .seed()
            .wrapping_add(u64::from(attempt).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let pick = |words: &[&'static str; 32], bits: u64| {
            words.get((bits % 32) as usize).copied().unwrap_or("plain")
        };
        let (quality, thing) = (pick(&QUALITIES, seed >> 32), pick(&THINGS, seed >> 40));
        Self(match attempt {
            0 => format!("{quality}_{thing}"),
            _ => format!("{quality}_{thing}_{}", seed % 10_000),
        })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let fits = (2..=MAX_LEN).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAName(text.chars().take(MAX_LEN + 1).collect()))
        }
    }
}

impl TryFrom<String> for Name {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Self, NotAName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_names_are_names() {
        let id = ContainerId::random().unwrap();
        for attempt in 0..50 {
            let name = Name::for_container(&id, attempt);
            assert_eq!(name.as_str().parse(), Ok(name));
        }
    }

    #[test]
    fn what_could_leave_a_folder_is_no_name() {
        for text in [
            "",
            "a",
            "..",
            ".a",
            "-a",
            "a/b",
            "a b",
            "é1",
            &"a".repeat(201),
        ] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }
}
