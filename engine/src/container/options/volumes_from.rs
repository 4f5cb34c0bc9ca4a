//! `--volumes-from`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Access, Malformed};

/// The volumes of another container, whatever it is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesFrom {
    /// Its name or id.
    pub container: String,
    /// `None`: as there.
    pub access: Option<Access>,
}

impl FromStr for VolumesFrom {
    type Err = Malformed;

    /// `CONTAINER[:ro|rw]`
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (container, mode) = match text.split_once(':') {
            Some((container, mode)) => (container, Some(mode)),
            None => (text, None),
        };
        let access = match mode {
            None => Some(None),
            Some("ro") => Some(Some(Access::ReadOnly)),
            Some("rw") => Some(Some(Access::ReadWrite)),
            Some(_) => None,
        };
        match access {
            Some(access) if !container.is_empty() => Ok(Self {
                container: container.to_owned(),
                access,
            }),
            _ => Err(Malformed::new(
                format!("`{text}` is no container with `ro` or `rw` behind it"),
                "`CONTAINER` or `CONTAINER:ro`",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_may_be_followed_by_how_its_volumes_are_used() {
        let access = |text: &str| text.parse::<VolumesFrom>().unwrap().access;
        assert_eq!(access("web"), None);
        assert_eq!(access("web:ro"), Some(Access::ReadOnly));
        for text in ["", ":ro", "web:x", "web:ro:x"] {
            assert!(text.parse::<VolumesFrom>().is_err(), "{text}");
        }
    }
}
