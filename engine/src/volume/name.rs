//! What a volume may be called.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Read as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longer ones would leave no room for a suffix in the name of a file.
const MAX_LEN: usize = 200;

/// A name that no volume can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot name a volume; use letters, figures, `_`, `.` and `-`, a letter or figure first, at least 2 and at most {MAX_LEN}; a path of the host is absolute or starts with `.`"
)]
pub struct VolumeNameError(String);

/// A volume's name, which is also that of its folder. Docker's rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeName(String);

impl VolumeName {
    /// One for a volume that nobody named: 64 figures, as Docker gives.
    ///
    /// # Errors
    /// No random numbers can be had.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0_u8; 32];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let mut name = String::with_capacity(64);
        for byte in bytes {
            write!(name, "{byte:02x}").map_err(io::Error::other)?;
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeName {
    type Err = VolumeNameError;

    fn from_str(text: &str) -> Result<Self, VolumeNameError> {
        let fits = (2..=MAX_LEN).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(VolumeNameError(text.chars().take(MAX_LEN).collect()))
        }
    }
}

impl TryFrom<String> for VolumeName {
    type Error = VolumeNameError;

    fn try_from(text: String) -> Result<Self, VolumeNameError> {
        text.parse()
    }
}

impl From<VolumeName> for String {
    fn from(name: VolumeName) -> Self {
        name.0
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_of_files_and_never_paths() {
        for name in ["data", "a1", "my_data.1-2"] {
            assert_eq!(name.parse::<VolumeName>().unwrap().as_str(), name);
        }
        for name in [
            "",
            "a",
            ".a",
            "-a",
            "a/b",
            "..",
            "a b",
            "ä1",
            &"a".repeat(201),
        ] {
            assert!(name.parse::<VolumeName>().is_err(), "{name}");
        }
        let random = VolumeName::random().unwrap();
        assert_eq!(random.as_str().len(), 64);
        assert!(random.as_str().parse::<VolumeName>().is_ok());
    }
}
