//! The id of a container, which is also the name of its folder.

use std::fmt;
use std::str::FromStr;

use super::Error;

/// A container's id: letters, digits, `_`, `+`, `-` and `.`, of which the last is not the first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerId(String);

/// As long as a file's name may be.
const MAX: usize = 255;

impl ContainerId {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
        if text.is_empty() || text.len() > MAX || text.starts_with('.') || !text.bytes().all(plain)
        {
            return Err(Error::Id(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
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
    fn what_would_lead_elsewhere_is_no_id() {
        for bad in [
            "", "/", ".", "..", "a/b", "../x", ".hidden", "a\n", "ä", "a b",
        ] {
            bad.parse::<ContainerId>().expect_err(bad);
        }
        "x".repeat(256).parse::<ContainerId>().expect_err("long");
        for good in ["a", "web_1.2+3-4", "0", "-x"] {
            assert_eq!(good.parse::<ContainerId>().expect(good).as_str(), good);
        }
    }
}
