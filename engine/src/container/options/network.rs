//! `--network`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Malformed;

/// How the container is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Its own loopback and nothing else.
    #[default]
    None,
}

impl FromStr for Network {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text {
            "none" => Ok(Self::None),
            _ => Err(Malformed::new(
                format!("network `{text}` is not in this version of keel"),
                "`none` (a loopback of its own), the default",
            )),
        }
    }
}
