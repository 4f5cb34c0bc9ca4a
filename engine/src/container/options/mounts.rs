//! `--volume` and `--tmpfs`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Malformed;
use crate::volume::{VolumeName, VolumeNameError, Volumes};

/// Whether the container may write to a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// `ro`
    ReadOnly,
    /// `rw`, the default.
    ReadWrite,
}

/// Where a volume's files are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// A file or folder of the host, absolute.
    Path(PathBuf),
    /// A volume that outlives the container.
    Named(VolumeName),
    /// A volume that is yet to be made, for this container.
    Anonymous,
}

impl TryFrom<String> for Source {
    type Error = VolumeNameError;

    fn try_from(text: String) -> Result<Self, VolumeNameError> {
        Ok(match text.as_str() {
            "" => Self::Anonymous,
            path if path.starts_with('/') => Self::Path(text.into()),
            name => Self::Named(name.parse()?),
        })
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Named(name) => name.fmt(f),
            Self::Anonymous => Ok(()),
        }
    }
}

/// Whether a new, empty volume gets what the image has in its place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CopyUp {
    /// As Docker does it.
    #[default]
    Yes,
    /// `nocopy`
    No,
}

/// What happens if a folder of the host is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Absent {
    /// It is made: `--volume`.
    #[default]
    Make,
    /// The container is refused: `--mount`.
    Refuse,
}

/// A file or folder of the host, or a volume, shown in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Where its files are.
    pub source: Source,
    /// In the container, absolute, without `.` and `..`.
    pub target: PathBuf,
    /// Whether it can be written to.
    pub access: Access,
    /// Of a volume: whether it gets the image's files.
    #[serde(default)]
    pub copy_up: CopyUp,
    /// Of a path: whether it is made.
    #[serde(default)]
    pub absent: Absent,
    /// Of a volume: its labels, if it is made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Volume {
    /// A volume of the container's own.
    pub(in crate::container) fn anonymous(target: PathBuf) -> Self {
        Self {
            source: Source::Anonymous,
            target,
            access: Access::ReadWrite,
            copy_up: CopyUp::Yes,
            absent: Absent::Make,
            labels: BTreeMap::new(),
        }
    }

    /// Where its files are on the host, below keel's root folder if it is a volume.
    pub(in crate::container) fn on_host(&self, volumes: &Volumes) -> Option<PathBuf> {
        match &self.source {
            Source::Path(path) => Some(path.clone()),
            Source::Named(name) => Some(volumes.data(name)),
            Source::Anonymous => None,
        }
    }
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

    /// `SOURCE:TARGET[:OPTIONS]`, or `TARGET` alone for a volume of the container's own. A source
    /// that starts with `.` is taken from the folder where keel was called; one without a slash is
    /// the name of a volume.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bad = |why: &str| {
            Malformed::new(
                format!("`{text}` {why}"),
                "`/on/host:/in/container`, `name:/in/container:ro` or `/in/container`",
            )
        };
        let (source, target, options) = match text.split(':').collect::<Vec<_>>()[..] {
            [target] => (None, target, "rw"),
            [source, target] => (Some(source), target, "rw"),
            [source, target, options] => (Some(source), target, options),
            _ => return Err(bad("has more than three parts")),
        };
        let source = match source {
            None => Source::Anonymous,
            Some("") => return Err(bad("has an empty source")),
            Some(path) if path.starts_with('.') => {
                let here = std::env::current_dir()
                    .map_err(|_| bad("is relative, and the current folder is gone"))?;
                Source::Path(here.join(path))
            }
            Some(source) => Source::try_from(source.to_owned())
                .map_err(|error| bad(&format!("is no volume: {error}")))?,
        };
        let target = in_container(target).ok_or_else(|| bad("has a target that is no folder"))?;
        let is_path = matches!(source, Source::Path(_));
        let mut volume = Self {
            source,
            ..Self::anonymous(target)
        };
        for option in options.split(',') {
            match option {
                "ro" => volume.access = Access::ReadOnly,
                "nocopy" if is_path => return Err(bad("has `nocopy`, which is for volumes")),
                "nocopy" => volume.copy_up = CopyUp::No,
                "z" | "Z" if Path::new("/sys/fs/selinux/enforce").exists() => {
                    return Err(bad("asks for an SELinux label, which keel does not set"));
                }
                // What is private here is Docker's default too; without SELinux there is no label
                // to set.
                "rw" | "private" | "rprivate" | "z" | "Z" => {}
                _ => return Err(bad("has an option other than `ro`, `rw`, `nocopy` and `z`")),
            }
        }
        Ok(volume)
    }
}

/// Mount options of tmpfs that a container may choose.
const TMPFS_OPTIONS: [&str; 18] = [
    "ro",
    "rw",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "sync",
    "async",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
];
/// Those with a value.
const TMPFS_VALUES: [&str; 8] = [
    "size",
    "mode",
    "uid",
    "gid",
    "nr_inodes",
    "nr_blocks",
    "mpol",
    "huge",
];

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
        let options = options.split(',').filter(|option| !option.is_empty());
        let options: Vec<String> = options.map(str::to_owned).collect();
        let known = |option: &String| match option.split_once('=') {
            Some((name, value)) => TMPFS_VALUES.contains(&name) && !value.is_empty(),
            None => TMPFS_OPTIONS.contains(&option.as_str()),
        };
        if let Some(option) = options.iter().find(|option| !known(option)) {
            return Err(Malformed::new(
                format!("`{text}` has the option `{option}`, which tmpfs does not take"),
                "`/in/container:size=16m,mode=1777,noexec`",
            ));
        }
        Ok(Self { target, options })
    }
}

/// An absolute path with neither `.` nor `..`, and other than `/`.
pub fn in_container(text: &str) -> Option<PathBuf> {
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
        let here = std::env::current_dir().unwrap();
        assert_eq!(volume.source, Source::Path(here.join("./a")));
    }

    #[test]
    fn mounts_over_the_root_or_out_of_it_are_refused() {
        for text in [
            "/",
            "a",
            "/a:/",
            "/a:b",
            "/a:/b/../..",
            "/a:/b:ro:x",
            "/a:/b:nocopy",
            "/a:/b:rslave",
            "a b:/b",
            ":/b",
        ] {
            assert!(text.parse::<Volume>().is_err(), "{text}");
        }
        for text in ["", "/", "t", "/../t", "/t:color=red", "/t:size=", "/t:size"] {
            assert!(text.parse::<Tmpfs>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_source_is_a_path_a_name_or_nothing() {
        let source = |text: &str| text.parse::<Volume>().unwrap().source;
        assert_eq!(source("/a:/b"), Source::Path("/a".into()));
        assert_eq!(
            source("data:/b:nocopy"),
            Source::Named("data".parse().unwrap())
        );
        assert_eq!(source("/b"), Source::Anonymous);
    }

    #[test]
    fn volumes_of_the_first_release_are_read() {
        let text = r#"{"source":"/a","target":"/b","access":"readonly"}"#;
        let volume: Volume = serde_json::from_str(text).unwrap();
        assert_eq!(volume, "/a:/b:ro".parse().unwrap());
        let named: Volume = "data:/b".parse().unwrap();
        let text = serde_json::to_string(&named).unwrap();
        assert_eq!(serde_json::from_str::<Volume>(&text).unwrap(), named);
    }
}
