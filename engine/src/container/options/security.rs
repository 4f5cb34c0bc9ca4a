//! `--security-opt`.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Malformed;

/// Which system calls the container may make.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seccomp {
    /// Docker's default list.
    #[default]
    Default,
    /// All of them.
    Unconfined,
    /// Those of a profile in Docker's or the OCI's format, read when the container is made.
    Profile(PathBuf),
}

/// One security option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecurityOpt {
    /// `seccomp=unconfined`, `seccomp=default`, `seccomp=FILE`
    Seccomp(Seccomp),
    /// `no-new-privileges[=true|false]`
    NoNewPrivileges(bool),
}

impl FromStr for SecurityOpt {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bad = |why: &str| {
            Malformed::new(
                format!("`{text}` {why}"),
                "`seccomp=unconfined`, `seccomp=FILE` or `no-new-privileges=true|false`",
            )
        };
        // Docker took `:` before it took `=`.
        let (name, value) = match text.split_once(['=', ':']) {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        match (name, value) {
            ("no-new-privileges", None | Some("true")) => Ok(Self::NoNewPrivileges(true)),
            ("no-new-privileges", Some("false")) => Ok(Self::NoNewPrivileges(false)),
            ("seccomp", Some("unconfined")) => Ok(Self::Seccomp(Seccomp::Unconfined)),
            ("seccomp", Some("default" | "builtin")) => Ok(Self::Seccomp(Seccomp::Default)),
            ("seccomp", Some(file)) if !file.is_empty() => {
                Ok(Self::Seccomp(Seccomp::Profile(file.into())))
            }
            ("apparmor" | "label", _) => {
                Err(bad("needs a security module that keel does not drive yet"))
            }
            _ => Err(bad("is not a security option of keel")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keel_does_not_enforce_is_refused_and_not_ignored() {
        for text in [
            "apparmor=docker-default",
            "label=disable",
            "seccomp",
            "nnp",
            "no-new-privileges=maybe",
        ] {
            assert!(text.parse::<SecurityOpt>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_bare_name_switches_on() {
        assert_eq!(
            "no-new-privileges".parse(),
            Ok(SecurityOpt::NoNewPrivileges(true))
        );
        assert_eq!(
            "no-new-privileges:false".parse(),
            Ok(SecurityOpt::NoNewPrivileges(false))
        );
        assert_eq!(
            "seccomp=unconfined".parse(),
            Ok(SecurityOpt::Seccomp(Seccomp::Unconfined))
        );
    }
}
