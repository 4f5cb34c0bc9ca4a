//! `--env` and `--label`.

use std::str::FromStr;

use super::Malformed;

/// A variable for the container's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvVar {
    /// `NAME=VALUE`.
    Set(String),
    /// `NAME`: the value that keel itself was called with; without one, the variable is unset.
    Inherit(String),
}

impl FromStr for EnvVar {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let name = text.split('=').next().unwrap_or_default();
        if name.is_empty() || text.contains('\0') {
            let why = format!("`{}` has no name", text.escape_debug());
            return Err(Malformed::new(
                why,
                "`NAME=VALUE`, or `NAME` to pass on its value",
            ));
        }
        Ok(if text.contains('=') {
            Self::Set(text.to_owned())
        } else {
            Self::Inherit(text.to_owned())
        })
    }
}

/// A label: any text about a container that its user wants to keep with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub key: String,
    /// Empty when not given.
    pub value: String,
}

impl FromStr for Label {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if key.is_empty() {
            return Err(Malformed::new(
                format!("`{text}` has no name"),
                "`NAME=VALUE`",
            ));
        }
        Ok(Self {
            key: key.to_owned(),
            value: value.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_passed_on() {
        assert_eq!("A".parse(), Ok(EnvVar::Inherit("A".into())));
        assert_eq!("A=".parse(), Ok(EnvVar::Set("A=".into())));
        assert!("=x".parse::<EnvVar>().is_err());
    }
}
