//! Matrix files: which cells there should be, as data.
//!
//! A file names groups; a group is the product of its axes. `[[exclude]]` takes cells out
//! again, each with the reason that plans and reports show.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::arch::Arch;
use crate::axis::{CgroupMode, StorageDriver, TargetKind};
use crate::select::Selection;

/// The matrices that are compiled in, by name. A file in a folder of the user's goes before.
pub const BUILT_IN: [(&str, &str); 3] = [
    ("quick", include_str!("../data/matrices/quick.toml")),
    ("here", include_str!("../data/matrices/here.toml")),
    ("custom", include_str!("../data/matrices/custom.toml")),
];

/// One matrix file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatrixFile {
    /// What it covers, in one line.
    pub description: String,
    /// The suites that run in every cell.
    pub suites: Vec<String>,
    /// The cells, a product a group.
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
    /// What is taken out again, and why.
    #[serde(default, rename = "exclude")]
    pub excludes: Vec<Exclude>,
}

/// A product of axes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The kind of machine that runs these cells.
    pub target: TargetKind,
    /// Kernels, each of a distribution. Absent: the system that the plan is made for (this
    /// machine, or the user's own kernel).
    pub kernels: Option<Vec<KernelName>>,
    /// What the kernels are built for. Absent: as the system that the plan is made for.
    pub arch: Option<Vec<Arch>>,
    /// The storage drivers.
    pub storage: Vec<StorageDriver>,
    /// The cgroup modes. Absent: as the system that the plan is made for.
    pub cgroup: Option<Vec<CgroupMode>>,
}

/// Cells that there won't be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclude {
    /// Which.
    pub cells: Selection,
    /// Why, and what would change it.
    pub reason: String,
}

/// `DISTRO-RELEASE/KERNEL`: the first two parts of a cell's id. `DISTRO/newest` is whichever
/// release has the newest kernel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct KernelName {
    /// The distribution (`debian`).
    pub distro: String,
    /// Its release (`12`), empty where it has none.
    pub release: String,
    /// The series (`6.1`), or `newest`.
    pub kernel: String,
}

/// A text that names no kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no kernel: expected `DISTRO-RELEASE/KERNEL`, for example `debian-12/6.1`")]
pub struct InvalidKernelName(String);

/// Why a text is no matrix file.
#[derive(Debug, thiserror::Error)]
pub enum MatrixFileError {
    /// No matrix of that name is compiled in.
    #[error("there is no matrix `{name}`: expected {known}, or a file")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// It is not TOML, or not of this shape.
    #[error("matrix `{name}` can't be read")]
    Syntax {
        /// The matrix.
        name: String,
        /// Where, and what was expected.
        #[source]
        source: toml::de::Error,
    },
}

impl MatrixFile {
    /// Reads a matrix file; `name` stands in errors.
    ///
    /// # Errors
    /// The text is not TOML, or has unknown, missing or ill-typed members.
    pub fn parse(name: &str, text: &str) -> Result<Self, MatrixFileError> {
        toml::from_str(text).map_err(|source| MatrixFileError::Syntax {
            name: name.to_owned(),
            source,
        })
    }

    /// The compiled-in matrix of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn built_in(name: &str) -> Result<Self, MatrixFileError> {
        match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::parse(name, text),
            None => Err(MatrixFileError::Unknown {
                name: name.to_owned(),
                known: BUILT_IN.map(|(name, _)| format!("`{name}`")).join(", "),
            }),
        }
    }
}

impl fmt::Display for KernelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.release.as_str() {
            "" => write!(f, "{}/{}", self.distro, self.kernel),
            release => write!(f, "{}-{release}/{}", self.distro, self.kernel),
        }
    }
}

impl FromStr for KernelName {
    type Err = InvalidKernelName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (system, kernel) = text
            .split_once('/')
            .filter(|(system, kernel)| !system.is_empty() && !kernel.is_empty())
            .ok_or_else(|| InvalidKernelName(text.chars().take(120).collect()))?;
        let (distro, release) = system.rsplit_once('-').unwrap_or((system, ""));
        Ok(Self {
            distro: distro.to_owned(),
            release: release.to_owned(),
            kernel: kernel.to_owned(),
        })
    }
}

impl TryFrom<String> for KernelName {
    type Error = InvalidKernelName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_matrix_of_the_data_folder_is_built_in_and_reads() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data/matrices");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let known: BTreeSet<String> = BUILT_IN
            .iter()
            .map(|(name, _)| format!("{name}.toml"))
            .collect();
        assert_eq!(files, known);
        for (name, _) in BUILT_IN {
            MatrixFile::built_in(name).unwrap();
        }
    }

    #[test]
    fn an_error_names_the_line_and_what_was_expected() {
        use std::error::Error;
        let text =
            "description = \"x\"\nsuites = []\n[[group]]\ntarget = \"mikro\"\nstorage = []\n";
        let error = MatrixFile::parse("mine", text).unwrap_err();
        insta::assert_snapshot!(format!("{error}\n{}", error.source().unwrap()), @r#"
        matrix `mine` can't be read
        TOML parse error at line 4, column 10
          |
        4 | target = "mikro"
          |          ^^^^^^^
        unknown variant `mikro`, expected one of `micro`, `image`, `host`, `ssh`
        "#);
        let error = MatrixFile::built_in("nightly").unwrap_err();
        insta::assert_snapshot!(error, @"there is no matrix `nightly`: expected `quick`, `here`, `custom`, or a file");
    }

    #[test]
    fn a_release_stands_after_the_last_dash() {
        let name: KernelName = "opensuse-leap-15.6/6.4".parse().unwrap();
        assert_eq!(
            (name.distro.as_str(), name.release.as_str()),
            ("opensuse-leap", "15.6")
        );
        assert!("debian-12".parse::<KernelName>().is_err());
        assert!("/6.1".parse::<KernelName>().is_err());
    }
}
