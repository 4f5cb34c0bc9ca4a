//! `--volume` and `--tmpfs`.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Malformed;

/// Whether the container may write to a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// `ro`
    ReadOnly,
    /// `rw`, the default.
    ReadWrite,
}

/// A file or folder of the host, shown in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// On the host, absolute.
    pub source: PathBuf,
    /// In the container, absolute, without `.` and `..`.
    pub target: PathBuf,
    /// Whether it can be written to.
    pub access: Access,
}

/// A file system in memory, in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    /// In the container, absolute, without `.` and `..`.
    pub target: PathBuf,
    /// Mount options, such as `size=16m`.
    pub options: Vec<String>,
}

impl FromStr for Volume {
    type Err = Malformed;

    /// `SOURCE:TARGET[:OPTIONS]`. A source that starts with `.` is taken from the folder where
    /// keel was called.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bad = |why: &str| {
            Malformed::new(
                format!("`{text}` {why}"),
                "`/on/host:/in/container` or `/on/host:/in/container:ro`",
            )
        };
        let mut parts = text.split(':');
        let (source, target) = match (parts.next(), parts.next()) {
            (Some(source), Some(target)) if !source.is_empty() => (source, target),
            _ => {
                return Err(bad(
                    "is not SOURCE:TARGET (a volume without source has no place yet)",
                ));
            }
        };
        let mut access = Access::ReadWrite;
        for option in parts.next().unwrap_or("rw").split(',') {
            match option {
                "ro" => access = Access::ReadOnly,
                // What is private here is Docker's default too.
                "rw" | "private" | "rprivate" => {}
                "z" | "Z" => return Err(bad("asks for an SELinux label, which keel does not set")),
                _ => return Err(bad("has an option other than `ro` and `rw`")),
            }
        }
        if parts.next().is_some() {
            return Err(bad("has more than three parts"));
        }
        let source = if source.starts_with('.') {
            let here = std::env::current_dir()
                .map_err(|_| bad("is relative, and the current folder is gone"))?;
            here.join(source)
        } else if source.starts_with('/') {
            PathBuf::from(source)
        } else {
            return Err(bad(
                "has a source that is no path (named volumes are not there yet)",
            ));
        };
        Ok(Self {
            source,
            target: in_container(target).ok_or_else(|| bad("has a target that is no folder"))?,
            access,
        })
    }
}

impl FromStr for Tmpfs {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let target = in_container(target).ok_or_else(|| {
            Malformed::new(
                format!("`{text}` has a target that is no folder"),
                "`/in/container` or `/in/container:size=16m,mode=1777`",
            )
        })?;
        let options = options.split(',').filter(|o| !o.is_empty());
        Ok(Self {
            target,
            options: options.map(str::to_owned).collect(),
        })
    }
}

/// An absolute path with neither `.` nor `..`, and other than `/`.
pub(super) fn in_container(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let mut parts = path.components();
    let plain = parts.next() == Some(Component::RootDir)
        && parts.clone().next().is_some()
        && parts.all(|part| matches!(part, Component::Normal(_)))
        && !text.contains('\0');
    // Collecting the components drops doubled and trailing slashes.
    plain.then(|| path.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_writable_unless_told_otherwise() {
        let volume: Volume = "/a:/b/".parse().unwrap();
        assert_eq!(volume.target, Path::new("/b"));
        assert_eq!(volume.access, Access::ReadWrite);
        assert_eq!(
            "/a:/b:ro".parse::<Volume>().unwrap().access,
            Access::ReadOnly
        );
    }

    #[test]
    fn a_relative_source_starts_where_keel_was_called() {
        let volume: Volume = "./a:/b".parse().unwrap();
        assert_eq!(volume.source, std::env::current_dir().unwrap().join("./a"));
    }

    #[test]
    fn mounts_over_the_root_or_out_of_it_are_refused() {
        for text in [
            "/a",
            "/a:/",
            "/a:b",
            "/a:/b/../..",
            "/a:/b:ro:x",
            "/a:/b:z",
            "data:/b",
            ":/b",
        ] {
            assert!(text.parse::<Volume>().is_err(), "{text}");
        }
        for text in ["", "/", "t", "/../t"] {
            assert!(text.parse::<Tmpfs>().is_err(), "{text}");
        }
    }
}
