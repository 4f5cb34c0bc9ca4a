//! A distribution's signed index: its Release file, the list of its kernel packages, and which of
//! them a catalogue's entry means.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use jiff::Timestamp;
use matrix::arch::Arch;
use matrix::version::KernelVersion;
use serde::{Deserialize, Serialize};

use crate::catalogue::{Entry, Series};
use crate::deb822::{Paragraph, select_packages};
use crate::debian_version;

/// The `schema` member of a stored list.
pub(crate) const SCHEMA: &str = "seaworthy.index/1";

/// A file of the archive as the index describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// Why an index can't be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The Release file is of another suite: what was signed for one may not stand in for another.
    #[error(
        "the mirror gave the index of `{actual}` where `{wanted}` was asked for; don't use this mirror"
    )]
    OtherSuite {
        /// What was asked for.
        wanted: String,
        /// What its `Suite` and `Codename` say.
        actual: String,
    },
    /// It lacks a field, or has a malformed one.
    #[error("the index of {suite} has no usable `{field}`; the mirror is broken")]
    Malformed {
        /// Which suite.
        suite: String,
        /// Which field.
        field: &'static str,
    },
    /// It is past its date.
    #[error(
        "the index of {suite} expired on {valid_until}; the mirror no longer follows Debian: use another, or accept it with `--accept-expired` (apt's `Check-Valid-Until` is honoured too)"
    )]
    Expired {
        /// Which suite.
        suite: String,
        /// Its `Valid-Until`.
        valid_until: Timestamp,
    },
    /// It was made in the future.
    #[error(
        "the index of {suite} was made on {date}, which by this machine's clock is yet to come; set the clock"
    )]
    FromTheFuture {
        /// Which suite.
        suite: String,
        /// Its `Date`.
        date: Timestamp,
    },
    /// The list of packages can't be read though its digest is right.
    #[error("the package list of {suite} can't be read")]
    List {
        /// Which suite.
        suite: String,
        /// Why.
        source: io::Error,
    },
}

/// What a suite's Release file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The suite that was asked for.
    pub suite: String,
    /// When it was made.
    pub date: Timestamp,
    /// Until when it may be used; none where the suite no longer changes.
    pub valid_until: Option<Timestamp>,
    /// Whether the archive offers its lists by digest as well, under which a list cannot be
    /// swapped while the index is read.
    pub by_hash: bool,
    files: BTreeMap<String, Described>,
}

impl Release {
    /// Reads the signed text of an `InRelease` file and checks that it is `suite`'s.
    pub fn parse(suite: &str, text: &str) -> Result<Self, IndexError> {
        let paragraph = Paragraph::parse(text);
        let malformed = |field| IndexError::Malformed {
            suite: suite.to_owned(),
            field,
        };
        let names = [paragraph.get("Suite"), paragraph.get("Codename")];
        if !names.contains(&Some(suite)) {
            return Err(IndexError::OtherSuite {
                wanted: suite.to_owned(),
                actual: names.into_iter().flatten().collect::<Vec<_>>().join("/"),
            });
        }
        let date = paragraph.get("Date").and_then(timestamp);
        let valid_until = match paragraph.get("Valid-Until") {
            None => None,
            Some(text) => Some(timestamp(text).ok_or_else(|| malformed("Valid-Until"))?),
        };
        let files = paragraph
            .get("SHA256")
            .ok_or_else(|| malformed("SHA256"))?
            .lines()
            .filter_map(described)
            .collect();
        Ok(Self {
            suite: suite.to_owned(),
            date: date.ok_or_else(|| malformed("Date"))?,
            valid_until,
            by_hash: paragraph.get("Acquire-By-Hash") == Some("yes"),
            files,
        })
    }

    /// Checks its dates against the clock.
    pub fn check_dates(&self, now: Timestamp) -> Result<(), IndexError> {
        // A day for clocks without a time zone.
        if self.date.as_second() - now.as_second() > 24 * 3600 {
            return Err(IndexError::FromTheFuture {
                suite: self.suite.clone(),
                date: self.date,
            });
        }
        match self.valid_until {
            Some(valid_until) if valid_until < now => Err(IndexError::Expired {
                suite: self.suite.clone(),
                valid_until,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// The list of an architecture's packages: its path below the suite's folder, and what the
    /// index says of it. Of the forms in which it is offered, the smallest that can be read.
    pub fn package_list(&self, arch: Arch) -> Result<(String, &Described), IndexError> {
        ["xz", "gz", ""]
            .iter()
            .find_map(|suffix| {
                let dot = if suffix.is_empty() { "" } else { "." };
                let path = format!("main/binary-{arch}/Packages{dot}{suffix}");
                let file = self.files.get(&path)?;
                Some((path, file))
            })
            .ok_or_else(|| IndexError::Malformed {
                suite: self.suite.clone(),
                field: "SHA256 line of the package list",
            })
    }
}

/// `Sat, 09 Aug 2025 09:16:30 UTC`: RFC 2822, but for the name of the zone.
fn timestamp(text: &str) -> Option<Timestamp> {
    let text = text.replace("UTC", "+0000");
    let time = jiff::fmt::rfc2822::parse(&text).ok()?;
    Some(time.timestamp())
}

/// A line `DIGEST SIZE PATH`.
fn described(line: &str) -> Option<(String, Described)> {
    let mut words = line.split_whitespace();
    let (sha256, size, path) = (words.next()?, words.next()?, words.next()?);
    let file = Described {
        size: size.parse().ok()?,
        sha256: digest(sha256)?,
    };
    Some((path.to_owned(), file))
}

/// A SHA-256 in lower-case hexadecimal; none where the text is another thing. It becomes a file's
/// name, so nothing else may pass.
fn digest(text: &str) -> Option<String> {
    let hexadecimal = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    hexadecimal.then(|| text.to_ascii_lowercase())
}

/// A package as the index describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it is, relative to the archive's root.
    pub filename: String,
    /// Its length and digest.
    #[serde(flatten)]
    pub file: Described,
    /// The names of the packages that it depends on, of alternatives the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends: Vec<String>,
}

/// The kernel packages of one suite and architecture: the part of its list that is kept, so that
/// planning needs neither the network nor a second's work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelPackages {
    /// Always `seaworthy.index/1`.
    pub(crate) schema: String,
    /// The suite.
    pub suite: String,
    /// The architecture.
    pub arch: Arch,
    /// When the suite's index was made.
    pub date: Timestamp,
    /// The digest of the list that this was taken from.
    pub list_sha256: String,
    /// The packages.
    pub packages: Vec<IndexedPackage>,
}

/// The packages that make up one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The kernel's release: what `uname -r` will say.
    pub release: String,
    /// The mainline version in it.
    pub version: KernelVersion,
    /// All that must be fetched; the first gives the kernel's version in Debian.
    pub packages: Vec<IndexedPackage>,
}

impl Resolved {
    /// What must be fetched, in bytes.
    pub fn size(&self) -> u64 {
        self.packages.iter().map(|package| package.file.size).sum()
    }

    /// The version of the package that names the kernel.
    pub fn package_version(&self) -> &str {
        self.packages
            .first()
            .map_or("", |package| package.version.as_str())
    }
}

impl KernelPackages {
    /// Picks the kernel packages out of an unpacked package list.
    pub fn read(
        release: &Release,
        arch: Arch,
        list_sha256: &str,
        list: impl BufRead,
    ) -> Result<Self, IndexError> {
        let mut packages = Vec::new();
        let wanted = |name: &str| {
            name.starts_with("linux-")
                && !name.ends_with("-unsigned")
                && !name.ends_with("-dbg")
                && PARTS.iter().any(|part| name.starts_with(part))
        };
        select_packages(list, wanted, |paragraph| {
            packages.extend(package(&paragraph));
        })
        .map_err(|source| IndexError::List {
            suite: release.suite.clone(),
            source,
        })?;
        Ok(Self {
            schema: SCHEMA.to_owned(),
            suite: release.suite.clone(),
            arch,
            date: release.date,
            list_sha256: list_sha256.to_owned(),
            packages,
        })
    }

    /// The kernel that an entry of the catalogue means: the one that the distribution's
    /// metapackage depends on, if it is of the entry's series, else the newest of that series.
    pub fn resolve(&self, entry: &Entry) -> Option<Resolved> {
        let of_series = |resolved: &Resolved| match entry.id.series {
            Series::Newest => true,
            Series::Of(series) => resolved.version.series() == series,
        };
        let meta = format!("linux-image-{}", entry.flavour);
        let current = self
            .newest_of(|name| name == meta)
            .and_then(|meta| {
                let mut images = meta.depends.iter().filter_map(|name| self.package(name));
                images.find_map(|image| self.kernel(image, &entry.flavour))
            })
            .filter(of_series);
        current.or_else(|| {
            self.packages
                .iter()
                .filter_map(|image| self.kernel(image, &entry.flavour))
                .filter(of_series)
                .max_by(|a, b| {
                    debian_version::compare(a.package_version(), b.package_version())
                        .then_with(|| a.release.cmp(&b.release))
                })
        })
    }

    /// The kernel of an image package; none if it is another flavour's, or a metapackage.
    fn kernel(&self, image: &IndexedPackage, flavour: &str) -> Option<Resolved> {
        let release = image.name.strip_prefix("linux-image-")?;
        let abi = release.strip_suffix(flavour)?.strip_suffix('-')?;
        // `6.1.0-50-cloud` + `-amd64` is a kernel of the flavour `cloud-amd64`.
        let numbers =
            |part: &str| part.starts_with(|c: char| c.is_ascii_digit()) || part.starts_with("rc");
        if !abi.split('-').all(numbers) {
            return None;
        }
        if image
            .depends
            .iter()
            .any(|name| name.starts_with("linux-image-"))
        {
            return None;
        }
        // From 7.2 on the image is a stub that depends on the parts (and some of these on each
        // other); before, it has everything.
        let mut packages = vec![image.clone()];
        let mut next = 0;
        while let Some(package) = packages.get(next) {
            let parts: Vec<_> = package
                .depends
                .iter()
                .filter(|name| PARTS.iter().any(|part| is_part_of(name, part, release)))
                .filter(|name| packages.iter().all(|known| known.name != **name))
                .filter_map(|name| self.package(name))
                .cloned()
                .collect();
            packages.extend(parts);
            next += 1;
        }
        Some(Resolved {
            release: release.to_owned(),
            version: release.parse().ok()?,
            packages,
        })
    }

    fn package(&self, name: &str) -> Option<&IndexedPackage> {
        self.newest_of(|other| other == name)
    }

    fn newest_of(&self, is_wanted: impl Fn(&str) -> bool) -> Option<&IndexedPackage> {
        self.packages
            .iter()
            .filter(|package| is_wanted(&package.name))
            .max_by(|a, b| debian_version::compare(&a.version, &b.version))
    }
}

/// The beginnings of the names of what a kernel is made of.
const PARTS: [&str; 4] = [
    "linux-image-",
    "linux-binary-",
    "linux-modules-",
    "linux-base-",
];

fn is_part_of(name: &str, part: &str, release: &str) -> bool {
    name.strip_prefix(part) == Some(release)
}

fn package(paragraph: &Paragraph) -> Option<IndexedPackage> {
    let text = |field| paragraph.get(field).map(str::to_owned);
    let filename = text("Filename")?;
    // Signed, but still no reason to let it climb.
    if filename.starts_with('/') || filename.split('/').any(|part| part == "..") {
        return None;
    }
    Some(IndexedPackage {
        name: text("Package")?,
        version: text("Version")?,
        filename,
        file: Described {
            size: paragraph.get("Size")?.parse().ok()?,
            sha256: digest(paragraph.get("SHA256")?)?,
        },
        depends: paragraph
            .get("Depends")
            .unwrap_or_default()
            .split(',')
            .filter_map(|group| {
                group
                    .split(['|', '(', ':', ' '])
                    .find(|word| !word.trim().is_empty())
            })
            .map(|name| name.trim().to_owned())
            .collect(),
    })
}

#[cfg(test)]
mod tests;
