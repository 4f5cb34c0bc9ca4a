//! Container ids.

use std::fmt;
use std::io::{self, Read as _};

use serde::{Deserialize, Serialize};

/// A container's id: 64 lower-case hexadecimal digits, random.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// Digits of the short form, which `ps` shows and which folders are named with.
pub const SHORT_LEN: usize = 12;
const LEN: usize = 64;

/// Not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a container id: 64 digits of 0-9 and a-f")]
pub struct NotAnId(String);

impl ContainerId {
    /// A new one.
    ///
    /// # Errors
    /// Those of reading `/dev/urandom` (`getrandom` is from kernel 3.17, too new).
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0_u8; LEN / 2];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self::from_bytes(&bytes))
    }

    fn from_bytes(bytes: &[u8; LEN / 2]) -> Self {
        let hex = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        let digits = bytes.iter().flat_map(|b| [hex(b >> 4), hex(b & 15)]);
        Self(digits.collect())
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits.
    pub fn short(&self) -> &str {
        self.0.get(..SHORT_LEN).unwrap_or(&self.0)
    }

    /// Random bits to choose a name by; the same for the same id.
    pub(super) fn seed(&self) -> u64 {
        let tail = self.0.get(LEN - 16..).unwrap_or_default();
        u64::from_str_radix(tail, 16).unwrap_or_default()
    }
}

/// Whether the text may be the beginning of an id.
pub(super) fn is_prefix(text: &str) -> bool {
    (1..=LEN).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl TryFrom<String> for ContainerId {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, NotAnId> {
        if text.len() == LEN && is_prefix(&text) {
            Ok(Self(text))
        } else {
            Err(NotAnId(text.chars().take(LEN + 1).collect()))
        }
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_64_digits_and_differ() {
        let (a, b) = (
            ContainerId::random().unwrap(),
            ContainerId::random().unwrap(),
        );
        assert_ne!(a, b);
        assert_eq!(ContainerId::try_from(a.as_str().to_owned()), Ok(a.clone()));
        assert_eq!(a.short().len(), 12);
    }

    #[test]
    fn paths_are_not_ids() {
        for text in ["", "../..", "ABC", &"g".repeat(64), &"a".repeat(65)] {
            assert!(ContainerId::try_from((*text).to_owned()).is_err());
        }
    }
}
