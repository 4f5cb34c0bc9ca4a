//! The kernels that Seaworthy knows how to get: data, compiled in and extended by the user.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use matrix::arch::Arch;
use matrix::version::KernelVersion;
use serde::{Deserialize, Serialize};

/// The largest catalogue file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

const BUILT_IN: &str = include_str!("../catalogue/debian.toml");

/// Which kernels of a distribution an entry stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Series {
    /// Those of one mainline series.
    Of(KernelVersion),
    /// Whichever is the newest in the distribution's index.
    Newest,
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(version) => version.fmt(f),
            Self::Newest => f.write_str("newest"),
        }
    }
}

/// The name of a kernel: `DISTRO-RELEASE/SERIES/ARCH`, the first three parts of a cell's id.
///
/// `debian-12/6.1/amd64`, or `debian-sid/newest/amd64` as long as no index has told which series
/// that is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KernelId {
    /// The distribution's id, as `/etc/os-release` has it (`debian`).
    pub distro: String,
    /// Its release (`12`, `sid`).
    pub release: String,
    /// The series, or `newest`.
    pub series: Series,
    /// What the kernel is built for.
    pub arch: Arch,
}

/// A text that names no kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a kernel id: expected `DISTRO-RELEASE/SERIES/ARCH`, such as `debian-12/6.1/amd64`"
)]
pub struct InvalidKernelId(String);

impl KernelId {
    /// The same id with the series that an index has settled.
    #[must_use]
    pub fn settled(&self, version: KernelVersion) -> Self {
        Self {
            series: Series::Of(version.series()),
            ..self.clone()
        }
    }
}

impl FromStr for KernelId {
    type Err = InvalidKernelId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidKernelId(text.chars().take(120).collect());
        let plain = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
        };
        let mut parts = text.split('/');
        let (Some(system), Some(series), Some(arch), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid());
        };
        let (distro, release) = system.rsplit_once('-').ok_or_else(invalid)?;
        if !plain(distro) || !plain(release) {
            return Err(invalid());
        }
        let series = match series {
            "newest" => Series::Newest,
            number => {
                let version: KernelVersion = number.parse().map_err(|_| invalid())?;
                if version.to_string() != number {
                    return Err(invalid());
                }
                Series::Of(version)
            }
        };
        Ok(Self {
            distro: distro.to_owned(),
            release: release.to_owned(),
            series,
            arch: Arch::from_name(arch).ok_or_else(invalid)?,
        })
    }
}

impl fmt::Display for KernelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            distro,
            release,
            series,
            arch,
        } = self;
        f.pad(&format!("{distro}-{release}/{series}/{arch}"))
    }
}

impl TryFrom<String> for KernelId {
    type Error = InvalidKernelId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<KernelId> for String {
    fn from(id: KernelId) -> Self {
        id.to_string()
    }
}

/// What a user asks for: one kernel of the catalogue, or the newest of all of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// This entry; its series may be `newest`.
    Kernel(KernelId),
    /// `newest/ARCH`, or `DISTRO/newest/ARCH` of one distribution: whichever entry of the
    /// catalogue has the highest version.
    Newest {
        /// The distribution; none for any.
        distro: Option<String>,
        /// What it is built for.
        arch: Arch,
    },
}

impl FromStr for Wanted {
    type Err = InvalidKernelId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let newest = text.rsplit_once('/').and_then(|(which, arch)| {
            let arch = Arch::from_name(arch)?;
            let distro = match which.strip_suffix("newest")? {
                "" => None,
                // With a release, it is one entry.
                distro => Some(
                    distro
                        .strip_suffix('/')
                        .filter(|d| !d.contains(['-', '/']))?,
                ),
            };
            let distro = distro.map(str::to_owned);
            Some(Self::Newest { distro, arch })
        });
        match newest {
            Some(newest) => Ok(newest),
            None => text.parse().map(Self::Kernel),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(id) => id.fmt(f),
            Self::Newest { distro: None, arch } => f.pad(&format!("newest/{arch}")),
            Self::Newest {
                distro: Some(distro),
                arch,
            } => f.pad(&format!("{distro}/newest/{arch}")),
        }
    }
}

/// One kernel of the catalogue, and where in the distribution's archive it is found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name.
    pub id: KernelId,
    /// The archive's suite that holds it (`bookworm-backports`).
    pub suite: String,
    /// What follows the version in the package's name (`cloud-amd64`).
    pub flavour: String,
}

/// The kernels that can be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    entries: Vec<Entry>,
}

/// Why a catalogue can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// A folder or file of the user's could not be read.
    #[error("can't read the catalogue {path}")]
    Read {
        /// What was read.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file is no catalogue.
    #[error("the catalogue {path} is malformed; see `vm-images/catalogue/` for examples")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What the parser says.
        source: Box<toml::de::Error>,
    },
    /// A suite or flavour would leave the archive's folders.
    #[error(
        "the catalogue {path} has `{value}` where a plain name belongs (letters, digits, `.`, `+`, `-`)"
    )]
    NotPlain {
        /// Which file.
        path: PathBuf,
        /// What stands there.
        value: String,
    },
    /// A file is too large to be a catalogue.
    #[error("the catalogue {path} is larger than 1 MiB")]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    kernel: Vec<Entry>,
}

impl Catalogue {
    /// The catalogue that is compiled in.
    ///
    /// # Errors
    ///
    /// None in a release: a test reads the compiled-in file.
    pub fn built_in() -> Result<Self, CatalogueError> {
        let entries = parse(Path::new("(built in)"), BUILT_IN)?;
        Ok(Self { entries })
    }

    /// The built-in catalogue with the `*.toml` of `dir` laid over it, in the order of their
    /// names: an entry replaces the one with its id, or is added.
    pub fn with_overrides(dir: &Path) -> Result<Self, CatalogueError> {
        let read = |path: &Path, source| CatalogueError::Read {
            path: path.to_owned(),
            source,
        };
        let mut catalogue = Self::built_in()?;
        let mut files = Vec::new();
        for file in std::fs::read_dir(dir).map_err(|e| read(dir, e))? {
            let path = file.map_err(|e| read(dir, e))?.path();
            if path.extension().is_some_and(|e| e == "toml") {
                files.push(path);
            }
        }
        files.sort();
        for path in files {
            let size = std::fs::metadata(&path).map_err(|e| read(&path, e))?.len();
            if size > MAX_FILE {
                return Err(CatalogueError::TooLarge { path });
            }
            let text = std::fs::read_to_string(&path).map_err(|e| read(&path, e))?;
            for entry in parse(&path, &text)? {
                catalogue.entries.retain(|known| known.id != entry.id);
                catalogue.entries.push(entry);
            }
        }
        Ok(catalogue)
    }

    #[cfg(test)]
    pub(crate) fn parsed(text: &str) -> Self {
        let entries = parse(Path::new("test.toml"), text).unwrap();
        Self { entries }
    }

    /// Every entry, in the order in which they are shown.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of this name.
    pub fn entry(&self, id: &KernelId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == *id)
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, CatalogueError> {
    let file: File = toml::from_str(text).map_err(|source| CatalogueError::Malformed {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    for entry in &file.kernel {
        for value in [&entry.suite, &entry.flavour] {
            if !is_plain(value) {
                return Err(CatalogueError::NotPlain {
                    path: path.to_owned(),
                    value: value.clone(),
                });
            }
        }
    }
    Ok(file.kernel)
}

/// Whether a text can be one component of a path, below any folder, on any mirror.
pub(crate) fn is_plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._+~-".contains(&b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_built_in_catalogue_reads_and_names_each_kernel_once() {
        let catalogue = Catalogue::built_in().unwrap();
        let mut ids: Vec<String> = catalogue
            .entries()
            .iter()
            .map(|e| e.id.to_string())
            .collect();
        insta::assert_snapshot!(ids.join("\n"), @r"
        debian-11/5.10/amd64
        debian-12/6.1/amd64
        debian-12/6.1/i386
        debian-12/6.12/amd64
        debian-13/6.12/amd64
        debian-13/newest/amd64
        debian-sid/newest/amd64
        ");
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), catalogue.entries().len());
    }

    #[test]
    fn a_users_folder_replaces_entries_and_adds_others() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("own.toml"),
            "[[kernel]]\nid = \"debian-12/6.1/amd64\"\nsuite = \"bookworm\"\nflavour = \"amd64\"\n\
             [[kernel]]\nid = \"debian-13/6.12/arm64\"\nsuite = \"trixie\"\nflavour = \"arm64\"\n",
        )
        .unwrap();
        let catalogue = Catalogue::with_overrides(dir.path()).unwrap();
        let flavour = |id: &str| {
            let id = id.parse().unwrap();
            catalogue.entry(&id).map(|e| e.flavour.clone())
        };
        assert_eq!(flavour("debian-12/6.1/amd64").as_deref(), Some("amd64"));
        assert_eq!(flavour("debian-13/6.12/arm64").as_deref(), Some("arm64"));
        assert_eq!(
            flavour("debian-11/5.10/amd64").as_deref(),
            Some("cloud-amd64")
        );
    }

    #[test]
    fn a_suite_cannot_lead_out_of_the_archive() {
        let text =
            "[[kernel]]\nid = \"debian-12/6.1/amd64\"\nsuite = \"../x\"\nflavour = \"amd64\"\n";
        let error = parse(Path::new("own.toml"), text).unwrap_err();
        insta::assert_snapshot!(error, @"the catalogue own.toml has `../x` where a plain name belongs (letters, digits, `.`, `+`, `-`)");
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "debian/6.1/amd64",
            "debian-12/6.1",
            "debian-12/6/amd64",
            "debian-12/6.1.0-3/amd64",
            "debian-12/6.1/pdp11",
            "debian-12/6.1/amd64/x",
            "-/6.1/amd64",
            "debian-../6.1/amd64",
        ] {
            assert!(text.parse::<KernelId>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn ids_survive_printing(distro in "[a-z][a-z-]{0,8}[a-z]", release in "[a-z0-9.]{1,6}", major: u16, minor: u16) {
            prop_assume!(!release.starts_with('.'));
            let id = KernelId { distro, release, series: Series::Of(KernelVersion::new(major, minor)), arch: Arch::Amd64 };
            prop_assert_eq!(id.to_string().parse::<KernelId>(), Ok(id));
        }

        #[test]
        fn no_text_makes_the_id_parser_panic(text in ".{0,60}") {
            drop(text.parse::<Wanted>());
        }
    }
}
