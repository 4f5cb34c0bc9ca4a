//! Which Debian mirror kernels come from: the one that the host's own apt configuration names, or
//! one that the user gives. No mirror's name is built in.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::deb822::{Paragraph, paragraphs};

/// The largest apt source file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The suites of Debian's own archive. Repositories of others use their names too, so a match
/// alone proves nothing; the signature does.
const SUITES: [&str; 15] = [
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "experimental",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "rc-buggy",
    "stretch",
];
/// What follows a suite's name in the same archive. The security archive is another one.
const POCKETS: [&str; 5] = [
    "-updates",
    "-backports",
    "-backports-sloppy",
    "-proposed-updates",
    "",
];

/// The root of a Debian archive, the folder that holds `dists` and `pool`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Without a slash at its end.
    base: String,
    validity: Validity,
}

/// Whether an index past its `Valid-Until` is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// No: a mirror, or whoever stands before it, could hold back updates for ever.
    Enforced,
    /// Yes, with a warning: the user or the host's apt configuration says so, as is usual for
    /// mirrors that are snapshots.
    Waived,
}

impl Validity {
    /// What the host's apt has been told: its `Acquire::Check-Valid-Until`.
    pub fn of_host() -> Self {
        let dump = std::process::Command::new("apt-config")
            .args(["dump", "Acquire::Check-Valid-Until"])
            .stderr(std::process::Stdio::null())
            .output();
        // A host without apt has been told nothing.
        dump.map_or(Self::Enforced, |dump| {
            Self::of_dump(&String::from_utf8_lossy(&dump.stdout))
        })
    }

    /// By the line `Acquire::Check-Valid-Until "false";`.
    fn of_dump(dump: &str) -> Self {
        let told = dump.lines().find_map(|line| {
            let value = line.strip_prefix("Acquire::Check-Valid-Until ")?;
            Some(is_yes(value.trim_matches(['"', ';'])))
        });
        match told {
            Some(false) => Self::Waived,
            Some(true) | None => Self::Enforced,
        }
    }
}

/// Why there is no mirror.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The host's apt knows no Debian archive.
    #[error(
        "this machine's apt configuration names no Debian mirror{}; give one with \
         `--mirror URL` or SEAWORTHY_DEBIAN_MIRROR, such as \
         `--mirror https://mirror.example.org/debian`",
        .unusable.as_ref().map(|uri| format!(" that can be read (`{uri}` can't)")).unwrap_or_default()
    )]
    NoDebianSource {
        /// A source of Debian's whose transport is not supported.
        unusable: Option<String>,
    },
    /// A source file could not be read.
    #[error("can't read {path} to find this machine's Debian mirror; give one with `--mirror URL`")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The user's address is of no known kind.
    #[error(
        "`{0}` is no mirror's address: expected `http://…`, `https://…` or `file:/…`, the folder that holds `dists` and `pool`"
    )]
    BadAddress(String),
}

impl Mirror {
    /// The mirror at this address.
    pub fn at(address: &str, validity: Validity) -> Result<Self, MirrorError> {
        let base = address.trim().trim_end_matches('/');
        let rest = ["http://", "https://", "file:/"]
            .iter()
            .find_map(|scheme| base.strip_prefix(scheme));
        match rest {
            Some(rest) if !rest.is_empty() && !base.contains(char::is_whitespace) => Ok(Self {
                base: base.to_owned(),
                validity,
            }),
            _ => Err(MirrorError::BadAddress(address.chars().take(200).collect())),
        }
    }

    /// The first Debian archive in the apt configuration below `apt` (`/etc/apt`).
    pub fn of_host(apt: &Path, validity: Validity) -> Result<Self, MirrorError> {
        let mut unusable = None;
        for source in sources(apt)?.into_iter().filter(AptSource::is_debians) {
            let uri = match source.uri.strip_prefix("mirror+file:") {
                Some(list) => first_of_list(Path::new(list))?.unwrap_or(source.uri.clone()),
                None => source.uri.replacen("copy:", "file:", 1),
            };
            let validity = match source.check_valid_until {
                Some(false) => Validity::Waived,
                Some(true) | None => validity,
            };
            match Self::at(&uri, validity) {
                Ok(mirror) => return Ok(mirror),
                Err(_) => unusable = unusable.or(Some(uri)),
            }
        }
        Err(MirrorError::NoDebianSource { unusable })
    }

    /// The address of a file of the archive.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// Whether an index past its date is taken from it.
    pub fn validity(&self) -> Validity {
        self.validity
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.base)
    }
}

/// One archive and suite that apt is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AptSource {
    uri: String,
    suite: String,
    components: Vec<String>,
    signed_by: Option<String>,
    check_valid_until: Option<bool>,
}

impl AptSource {
    /// Whether this is Debian's own archive, as far as its description tells. Others carry
    /// Debian's suite names as well, but sign with their own keys or have no `main`.
    fn is_debians(&self) -> bool {
        let suite = POCKETS
            .iter()
            .filter_map(|pocket| self.suite.strip_suffix(pocket))
            .any(|name| SUITES.contains(&name));
        let signer = self
            .signed_by
            .as_ref()
            .is_none_or(|key| key.contains("debian-archive"));
        let disc = self.uri.starts_with("cdrom:");
        suite && signer && !disc && self.components.iter().any(|c| c == "main")
    }
}

/// All that the apt configuration names, in apt's order.
fn sources(apt: &Path) -> Result<Vec<AptSource>, MirrorError> {
    let mut files = vec![apt.join("sources.list")];
    let parts = apt.join("sources.list.d");
    match std::fs::read_dir(&parts) {
        Ok(entries) => {
            let mut names: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            names.sort();
            files.extend(names);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(MirrorError::Read {
                path: parts,
                source,
            });
        }
    }
    let mut all = Vec::new();
    for path in files {
        match path.extension().and_then(|e| e.to_str()) {
            Some("list") => {
                let text = read(&path)?.unwrap_or_default();
                all.extend(text.lines().filter_map(one_line));
            }
            Some("sources") => {
                let text = read(&path)?.unwrap_or_default();
                all.extend(paragraphs(&text).iter().flat_map(stanza));
            }
            _ => {}
        }
    }
    Ok(all)
}

/// The file's text; none where there is no such file.
fn read(path: &Path) -> Result<Option<String>, MirrorError> {
    let failed = |source| MirrorError::Read {
        path: path.to_owned(),
        source,
    };
    match std::fs::File::open(path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_FILE), &mut bytes)
                .map_err(failed)?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// The first address in a list of mirrors (apt-transport-mirror(1)), such as Debian's cloud
/// images have in their `mirror+file:` sources.
fn first_of_list(path: &Path) -> Result<Option<String>, MirrorError> {
    let text = read(path)?.unwrap_or_default();
    let address = |line: &str| line.split_whitespace().next().map(str::to_owned);
    Ok(text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .find_map(address))
}

/// A line of sources.list(5): `deb [option=value …] URI SUITE COMPONENT…`.
fn one_line(line: &str) -> Option<AptSource> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let option = |name: &str| {
        options.split_whitespace().find_map(|option| {
            let (key, value) = option.split_once('=')?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(AptSource {
        uri: words.next()?,
        suite: words.next()?,
        components: words.collect(),
        signed_by: option("signed-by"),
        check_valid_until: option("check-valid-until").as_deref().map(is_yes),
    })
}

/// A stanza of a `.sources` file, which may name several archives and suites.
fn stanza(paragraph: &Paragraph) -> Vec<AptSource> {
    let enabled = paragraph.get("Enabled").is_none_or(is_yes);
    if !enabled || !paragraph.words("Types").any(|kind| kind == "deb") {
        return Vec::new();
    }
    let mut all = Vec::new();
    for uri in paragraph.words("URIs") {
        for suite in paragraph.words("Suites") {
            all.push(AptSource {
                uri: uri.to_owned(),
                suite: suite.to_owned(),
                components: paragraph.words("Components").map(str::to_owned).collect(),
                signed_by: paragraph.get("Signed-By").map(str::to_owned),
                check_valid_until: paragraph.get("Check-Valid-Until").map(is_yes),
            });
        }
    }
    all
}

/// apt's reading of a boolean.
fn is_yes(value: &str) -> bool {
    !["no", "false", "without", "off", "disable", "0"]
        .contains(&value.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests;
