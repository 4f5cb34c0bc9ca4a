//! What a user names: a configuration, a kernel image, or a package. Nothing of it is trusted,
//! and no more of it is held in memory than a real one needs.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use matrix::kconfig::{Kconfig, KconfigError, MAX_BYTES};
use matrix::support::{Evidence, KernelIdentity};
use matrix::version::KernelVersion;
use vm_images::compression::Compression;
use vm_images::kernel_image::{self, KernelImageError};
use vm_images::package::{self, PackageError};

/// Kernel images are no larger than this; the largest unpacked ones have about 100 MiB.
const MAX_IMAGE: u64 = 256 << 20;

/// How every RPM package begins.
const RPM_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];

/// Why an input can't be judged.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It can't be opened or read.
    #[error("can't read {}", path.display())]
    Read {
        /// The input.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no file.
    #[error("{} is {kind}, not a file: name the file itself", path.display())]
    NotAFile {
        /// The input.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// What is packed does not unpack.
    #[error("can't unpack {}: it is damaged or cut off; copy the whole file again", path.display())]
    Damaged {
        /// The input.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is an RPM package.
    #[error(
        "{} is an RPM package, which can't be read yet: unpack it (`rpm2cpio FILE | cpio -id`) and give its lib/modules/VERSION/config with `--config`",
        path.display()
    )]
    Rpm {
        /// The input.
        path: PathBuf,
    },
    /// It is larger than any real one.
    #[error("{} is larger than {limit} MiB, as no {what} is: is it the right file?", path.display())]
    TooLarge {
        /// The input.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// It is no configuration.
    #[error("{} is not a kernel configuration", path.display())]
    Config {
        /// The input.
        path: PathBuf,
        /// What is wrong, and where.
        #[source]
        source: KconfigError,
    },
    /// It is no kernel image.
    #[error("{} is not a kernel image", path.display())]
    Image {
        /// The input.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: KernelImageError,
    },
    /// The image does not hold its configuration.
    #[error(
        "{} holds no configuration (it was built without CONFIG_IKCONFIG, as Debian's and many others are): give its configuration with `--config`, mostly /boot/config-VERSION or lib/modules/VERSION/config",
        path.display()
    )]
    NoEmbeddedConfig {
        /// The input.
        path: PathBuf,
    },
    /// It is no package that can be read.
    #[error("{} can't be read as a Debian package; unpack other formats and give the configuration with `--config`", path.display())]
    Package {
        /// The input.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: PackageError,
    },
    /// The package holds no configuration.
    #[error(
        "{} holds no kernel configuration (boot/config-* or lib/modules/*/config): newer kernels ship it in a package of its own, for example linux-base-VERSION",
        path.display()
    )]
    NoPackagedConfig {
        /// The input.
        path: PathBuf,
    },
}

/// Reads a configuration, plain or compressed with gzip, xz or zstd; `-` is standard input.
///
/// # Errors
/// It can't be read, or is none.
pub fn config(path: &Path, version: Option<KernelVersion>) -> Result<Evidence, InputError> {
    let file = if path == Path::new("-") {
        standard_input()?
    } else {
        open(path)?
    };
    let config = read_config(file, path)?;
    Ok(Evidence {
        kernel: KernelIdentity {
            release: version.map(|version| version.to_string()),
            version,
            arch: None,
            source: path.display().to_string(),
        },
        config: Some(config),
        ..Evidence::default()
    })
}

/// Reads the configuration that a kernel image holds.
///
/// # Errors
/// It can't be read, is no kernel image, or holds no configuration.
pub fn kernel(path: &Path) -> Result<Evidence, InputError> {
    let image = unpack(open(path)?, path, MAX_IMAGE, "kernel image")?;
    let (release, text) = if is_arm64_image(&image) {
        (banner(&image), embedded(&image))
    } else {
        let image_error = |source| InputError::Image {
            path: path.to_owned(),
            source,
        };
        (
            kernel_image::release(&image).map_err(image_error)?,
            kernel_image::embedded_config(&image).map_err(image_error)?,
        )
    };
    let text = text.ok_or_else(|| InputError::NoEmbeddedConfig {
        path: path.to_owned(),
    })?;
    Ok(Evidence {
        kernel: KernelIdentity {
            version: release.as_deref().and_then(|release| release.parse().ok()),
            release,
            arch: None,
            source: path.display().to_string(),
        },
        config: Some(parse(&text, path)?),
        ..Evidence::default()
    })
}

/// Reads the configuration in a Debian package.
///
/// # Errors
/// It can't be read, is no package, or holds no configuration.
pub fn package(path: &Path) -> Result<Evidence, InputError> {
    let (file, start) = peek(open(path)?, path)?;
    if start.starts_with(&RPM_MAGIC) {
        return Err(InputError::Rpm {
            path: path.to_owned(),
        });
    }
    let mut found: Option<(String, Vec<u8>)> = None;
    package::walk(file, &mut |file| {
        let name = file.path.to_string_lossy();
        if !is_config(&name) {
            return Ok(ControlFlow::Continue(()));
        }
        let mut text = Vec::new();
        file.contents
            .take(MAX_BYTES as u64 + 1)
            .read_to_end(&mut text)?;
        found = Some((name.into_owned(), text));
        Ok(ControlFlow::Break(()))
    })
    .map_err(|source| InputError::Package {
        path: path.to_owned(),
        source,
    })?;
    let (name, text) = found.ok_or_else(|| InputError::NoPackagedConfig {
        path: path.to_owned(),
    })?;
    let release = release_of(&name);
    Ok(Evidence {
        kernel: KernelIdentity {
            version: release.as_deref().and_then(|release| release.parse().ok()),
            release,
            arch: None,
            source: format!("{} ({name})", path.display()),
        },
        config: Some(parse(&text, path)?),
        ..Evidence::default()
    })
}

/// `boot/config-RELEASE`, or `config` in a folder of modules (Debian from 7.2 on, Fedora).
fn is_config(name: &str) -> bool {
    let parts: Vec<&str> = name.trim_start_matches("./").split('/').collect();
    match parts.as_slice() {
        ["boot", file] => file.starts_with("config-"),
        ["lib", "modules", _, "config"] | ["usr", "lib", "modules", _, "config"] => true,
        _ => false,
    }
}

fn release_of(name: &str) -> Option<String> {
    let (folder, file) = name.rsplit_once('/')?;
    match file.strip_prefix("config-") {
        Some(release) => Some(release.to_owned()),
        None => folder.rsplit('/').next().map(str::to_owned),
    }
}

fn standard_input() -> Result<File, InputError> {
    let copy = io::stdin().as_fd().try_clone_to_owned();
    copy.map(File::from).map_err(|source| InputError::Read {
        path: PathBuf::from("standard input"),
        source,
    })
}

fn open(path: &Path) -> Result<File, InputError> {
    let read = |source| InputError::Read {
        path: path.to_owned(),
        source,
    };
    // Looked at before it is opened: opening a FIFO would wait for a writer.
    let kind = std::fs::metadata(path).map_err(read)?.file_type();
    let not_a_file = |kind| {
        Err(InputError::NotAFile {
            path: path.to_owned(),
            kind,
        })
    };
    if kind.is_dir() {
        not_a_file("a folder")
    } else if kind.is_fifo() {
        not_a_file("a FIFO")
    } else if !kind.is_file() {
        not_a_file("a device or socket")
    } else {
        File::open(path).map_err(read)
    }
}

pub(super) fn read_config(file: File, path: &Path) -> Result<Kconfig, InputError> {
    let text = unpack(file, path, MAX_BYTES as u64, "kernel configuration")?;
    parse(&text, path)
}

/// What a file holds, after unpacking it where it is packed.
fn unpack(file: File, path: &Path, limit: u64, what: &'static str) -> Result<Vec<u8>, InputError> {
    let (whole, start) = peek(file, path)?;
    let compression = Compression::of_magic(&start);
    let damaged = |source| InputError::Damaged {
        path: path.to_owned(),
        source,
    };
    let plain = compression.reader(whole).map_err(damaged)?;
    match read_bounded(plain, path, limit, what) {
        Err(InputError::Read { source, .. }) if compression != Compression::None => {
            Err(damaged(source))
        }
        other => other,
    }
}

/// The first six bytes of a file, and a reader of all of it. Files in /proc can't be rewound.
fn peek(mut file: File, path: &Path) -> Result<(impl Read, Vec<u8>), InputError> {
    let mut start = Vec::new();
    file.by_ref()
        .take(6)
        .read_to_end(&mut start)
        .map_err(|source| InputError::Read {
            path: path.to_owned(),
            source,
        })?;
    Ok((io::Cursor::new(start.clone()).chain(file), start))
}

/// arm64's `Image`, which is neither ELF nor packed (`Documentation/arch/arm64/booting.rst`).
fn is_arm64_image(image: &[u8]) -> bool {
    image.get(56..60) == Some(b"ARM\x64")
}

/// The configuration between its two marks (`kernel/configs.c`), unpacked.
fn embedded(image: &[u8]) -> Option<Vec<u8>> {
    // The mark also stands in the code that looks for it; gzip's magic tells them apart.
    let packed = after(image, b"IKCFG_ST\x1f\x8b\x08")?;
    let start = image.len() - packed.len() - 3;
    let mut text = Vec::new();
    Compression::Gzip
        .reader(image.get(start..)?)
        .ok()?
        .take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut text)
        .ok();
    (!text.is_empty()).then_some(text)
}

/// The release in the banner `Linux version …`.
fn banner(image: &[u8]) -> Option<String> {
    let mut rest = image;
    while let Some(found) = after(rest, b"Linux version ") {
        if found.first().is_some_and(u8::is_ascii_digit) {
            let word = found.split(|byte| !byte.is_ascii_graphic()).next()?;
            return Some(String::from_utf8_lossy(word.get(..word.len().min(128))?).into_owned());
        }
        rest = found;
    }
    None
}

/// What comes after the first `pattern` in `bytes`.
fn after<'a>(bytes: &'a [u8], pattern: &[u8]) -> Option<&'a [u8]> {
    let at = bytes.windows(pattern.len()).position(|w| w == pattern)?;
    bytes.get(at + pattern.len()..)
}

fn read_bounded(
    input: impl Read,
    path: &Path,
    limit: u64,
    what: &'static str,
) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    input
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| InputError::Read {
            path: path.to_owned(),
            source,
        })?;
    if bytes.len() as u64 > limit {
        return Err(InputError::TooLarge {
            path: path.to_owned(),
            what,
            limit: limit >> 20,
        });
    }
    Ok(bytes)
}

fn parse(text: &[u8], path: &Path) -> Result<Kconfig, InputError> {
    Kconfig::parse(text).map_err(|source| InputError::Config {
        path: path.to_owned(),
        source,
    })
}
