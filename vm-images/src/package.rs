//! Debian packages (deb(5)): an `ar` archive of a control and a data archive, read in one pass.
//!
//! Nothing is unpacked to where the package says: a visitor gets each regular file's path and
//! contents and decides. So a hostile package can name any path and reach none.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};

use crate::compression::Compression;
use crate::deb822::Paragraph;

/// The longest control file, in bytes.
const MAX_CONTROL: u64 = 1 << 20;
/// The most that a package may unpack to, in bytes. The largest kernel packages have 0.6 GB.
const MAX_UNPACKED: u64 = 8 << 30;
/// The longest path, in bytes.
const MAX_PATH: u64 = 4096;

/// Why a package can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// It is another kind of file.
    #[error(
        "this is no Debian package: it does not start as an `ar` archive with `debian-binary` does"
    )]
    NotAPackage,
    /// An `ar` header is malformed.
    #[error("the package is damaged: the header of its {0} member is malformed; get it again")]
    Malformed(&'static str),
    /// A member is absent.
    #[error("the package has no {0}; get it again")]
    Missing(&'static str),
    /// Packed in a way that is not read.
    #[error("the package's {member} is packed in an unknown way; expected none, .gz, .xz or .zst")]
    UnknownPacking {
        /// The member's name.
        member: String,
    },
    /// A path leads out of the package.
    #[error("the package is hostile: it holds the path `{0}`, which leads out of it; don't use it")]
    HostilePath(String),
    /// It unpacks to too much.
    #[error("the package unpacks to more than 8 GiB; this is no kernel's package")]
    TooLarge,
    /// Reading it failed, or what is packed is damaged.
    #[error("can't read the package")]
    Read(#[source] io::Error),
    /// The visitor failed.
    #[error("can't take `{path}` out of the package")]
    Visit {
        /// The file in the package.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A regular file in a package.
pub struct PackagedFile<'a> {
    /// Its path, relative to the root of the file system (`boot/vmlinuz-6.1.0-50-amd64`).
    pub path: &'a Path,
    /// Its length in bytes.
    pub size: u64,
    /// What is in it, unpacked; need not be read.
    pub contents: &'a mut dyn Read,
}

impl std::fmt::Debug for PackagedFile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackagedFile")
            .field("path", &self.path)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// The package's own description: `Package`, `Version`, `Architecture`, `Depends`, ….
pub fn control(package: impl Read) -> Result<Paragraph, PackageError> {
    let mut text = None;
    let mut visit = |file: PackagedFile<'_>| {
        if file.path == Path::new("control") {
            let mut content = String::new();
            file.contents
                .take(MAX_CONTROL)
                .read_to_string(&mut content)?;
            text = Some(content);
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    };
    walk_member(package, "control.tar", &mut visit)?;
    text.map(|text| Paragraph::parse(&text))
        .ok_or(PackageError::Missing("control file"))
}

/// Shows `visit` every regular file that the package would install, in the archive's order,
/// until it says [`ControlFlow::Break`].
///
/// Memory: the packing's window (8 MiB for most packages), whatever the package's size.
pub fn walk(
    package: impl Read,
    visit: &mut dyn FnMut(PackagedFile<'_>) -> io::Result<ControlFlow<()>>,
) -> Result<(), PackageError> {
    walk_member(package, "data.tar", visit)
}

type Visitor<'a> = dyn FnMut(PackagedFile<'_>) -> io::Result<ControlFlow<()>> + 'a;

fn walk_member(
    package: impl Read,
    wanted: &'static str,
    visit: &mut Visitor<'_>,
) -> Result<(), PackageError> {
    let mut package = io::BufReader::with_capacity(1 << 16, package);
    let mut magic = [0; 8];
    package
        .read_exact(&mut magic)
        .map_err(|_| PackageError::NotAPackage)?;
    if &magic != b"!<arch>\n" {
        return Err(PackageError::NotAPackage);
    }
    let mut first = true;
    while let Some(member) = Member::read(&mut package)? {
        if std::mem::take(&mut first) && member.name != "debian-binary" {
            return Err(PackageError::NotAPackage);
        }
        let content = package.by_ref().take(member.size);
        let Some(suffix) = member.name.strip_prefix(wanted) else {
            let padded = member.size + member.size % 2;
            let skipped = io::copy(&mut package.by_ref().take(padded), &mut io::sink());
            skipped.map_err(PackageError::Read)?;
            continue;
        };
        let compression = match suffix {
            "" => Compression::None,
            ".gz" => Compression::Gzip,
            ".xz" => Compression::Xz,
            ".zst" => Compression::Zstd,
            _ => {
                return Err(PackageError::UnknownPacking {
                    member: member.name,
                });
            }
        };
        let unpacked = compression.reader(content).map_err(PackageError::Read)?;
        return walk_tar(unpacked, visit);
    }
    Err(PackageError::Missing(match wanted {
        "control.tar" => "control archive",
        _ => "data archive",
    }))
}

/// A member's header in an `ar` archive.
struct Member {
    name: String,
    size: u64,
}

impl Member {
    /// The next header; none at the archive's end.
    fn read(archive: &mut impl Read) -> Result<Option<Self>, PackageError> {
        let mut header = Vec::new();
        archive
            .take(60)
            .read_to_end(&mut header)
            .map_err(PackageError::Read)?;
        if header.is_empty() {
            return Ok(None);
        }
        let malformed = || PackageError::Malformed("ar");
        if header.get(58..60) != Some(b"`\n") {
            return Err(malformed());
        }
        let field = |range| {
            header
                .get(range)
                .and_then(|bytes: &[u8]| std::str::from_utf8(bytes).ok())
                .map(str::trim_ascii_end)
                .ok_or_else(malformed)
        };
        let name = field(0..16)?.trim_end_matches('/').to_owned();
        let size = field(48..58)?.parse().map_err(|_| malformed())?;
        Ok(Some(Self { name, size }))
    }
}

fn walk_tar(unpacked: impl Read, visit: &mut Visitor<'_>) -> Result<(), PackageError> {
    let mut archive = tar::Archive::new(unpacked.take(MAX_UNPACKED));
    let mut total = 0;
    let mut long_name = None;
    // `raw`: the tar crate would read a GNU long name of any length into memory.
    let entries = archive.entries().map_err(PackageError::Read)?.raw(true);
    for entry in entries {
        let mut entry = entry.map_err(PackageError::Read)?;
        let kind = entry.header().entry_type();
        let size = entry.size();
        total += size;
        if total >= MAX_UNPACKED {
            return Err(PackageError::TooLarge);
        }
        if kind.is_gnu_longname() {
            if size > MAX_PATH {
                return Err(PackageError::Malformed("tar"));
            }
            let mut name = Vec::new();
            entry.read_to_end(&mut name).map_err(PackageError::Read)?;
            while name.last() == Some(&0) {
                name.pop();
            }
            long_name = Some(name);
            continue;
        }
        if kind.is_gnu_longlink() {
            continue;
        }
        let path = match long_name.take() {
            Some(name) => name,
            None => entry.path_bytes().into_owned(),
        };
        let path = inner_path(&path)?;
        if !kind.is_file() {
            continue;
        }
        let file = PackagedFile {
            path: &path,
            size,
            contents: &mut entry,
        };
        match visit(file) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return Ok(()),
            Err(source) => return Err(PackageError::Visit { path, source }),
        }
    }
    Ok(())
}

/// The path without its leading `./`, refused where it would lead out of the package.
fn inner_path(bytes: &[u8]) -> Result<PathBuf, PackageError> {
    let hostile = || {
        PackageError::HostilePath(
            String::from_utf8_lossy(bytes)
                .escape_debug()
                .take(200)
                .collect(),
        )
    };
    let text = std::str::from_utf8(bytes).map_err(|_| hostile())?;
    if text.contains('\0') {
        return Err(hostile());
    }
    let mut inner = PathBuf::new();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(name) => inner.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(hostile());
            }
        }
    }
    Ok(inner)
}

#[cfg(test)]
pub(crate) mod tests;
