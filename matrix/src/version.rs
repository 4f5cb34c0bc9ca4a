//! Kernel versions: what `uname -r`, a configuration's header or a package name says.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The mainline version that a kernel release is based on: `major.minor.patch`.
///
/// Ordered as mainline releases are. What follows the patch level in a release string
/// (`-27-amd64`, `-rc6`, `-553.el8_10`) is the vendor's and carries no order between vendors.
/// Serialised as `[major, minor, patch]`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(from = "[u16; 3]", into = "[u16; 3]")]
#[schemars(with = "[u16; 3]")]
pub struct KernelVersion {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
    /// The third number, 0 where the release names none.
    pub patch: u16,
}

/// A text that names no kernel version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a kernel version: expected something like `6.1` or `5.10.0-32-amd64`")]
pub struct InvalidVersion(String);

impl KernelVersion {
    /// The version `major.minor.0`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self {
            major,
            minor,
            patch: 0,
        }
    }

    /// The same version with its patch level set to zero: the mainline series.
    #[must_use]
    pub const fn series(self) -> Self {
        Self::new(self.major, self.minor)
    }
}

impl FromStr for KernelVersion {
    type Err = InvalidVersion;

    /// Reads the leading `major.minor[.patch]` of a release string; the rest is ignored.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidVersion(text.chars().take(80).collect());
        let mut numbers = text.trim().splitn(3, '.').map(|part| {
            let end = part
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(part.len());
            part.split_at(end)
        });
        let (major, rest) = numbers.next().ok_or_else(invalid)?;
        if !rest.is_empty() {
            return Err(invalid());
        }
        let (minor, rest) = numbers.next().ok_or_else(invalid)?;
        let patch = match numbers.next() {
            Some((patch, _)) if rest.is_empty() && !patch.is_empty() => {
                patch.parse().map_err(|_| invalid())?
            }
            _ => 0,
        };
        Ok(Self {
            major: major.parse().map_err(|_| invalid())?,
            minor: minor.parse().map_err(|_| invalid())?,
            patch,
        })
    }
}

impl fmt::Display for KernelVersion {
    /// `6.1` for a series, `6.1.159` otherwise.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        match self.patch {
            0 => Ok(()),
            patch => write!(f, ".{patch}"),
        }
    }
}

impl From<[u16; 3]> for KernelVersion {
    fn from([major, minor, patch]: [u16; 3]) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }
}

impl From<KernelVersion> for [u16; 3] {
    fn from(version: KernelVersion) -> Self {
        [version.major, version.minor, version.patch]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_the_release_strings_of_distributions() {
        for (text, expected) in [
            ("6.1", [6, 1, 0]),
            ("5.10.0-32-amd64", [5, 10, 0]),
            ("4.18.0-553.97.1.el8_10.x86_64", [4, 18, 0]),
            ("6.15.0-0.rc6.el9.elrepo", [6, 15, 0]),
            ("7.2-rc3", [7, 2, 0]),
            ("7.2-rc3.1", [7, 2, 0]),
            ("2.6.32-754.el6", [2, 6, 32]),
        ] {
            assert_eq!(text.parse::<KernelVersion>(), Ok(expected.into()), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_version() {
        for text in ["", "6", "x.y", "linux-6.1", "6.", "6x.1", "99999.1"] {
            assert!(text.parse::<KernelVersion>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(major: u16, minor: u16, patch: u16) {
            let version = KernelVersion { major, minor, patch };
            prop_assert_eq!(version.to_string().parse(), Ok(version));
        }
    }
}
