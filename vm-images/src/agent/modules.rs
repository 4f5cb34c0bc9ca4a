//! Kernel modules, loaded without a modprobe.

use std::error::Error;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module, init_module};

use crate::compression::Compression;

/// `MODULE_INIT_COMPRESSED_FILE`: the kernel unpacks the file itself (Linux 5.17, with
/// `CONFIG_MODULE_DECOMPRESS`, and only the format that it was built for).
const COMPRESSED_FILE: u32 = 4;

/// The largest module, unpacked, in bytes: several times the largest of any distribution.
const MAX_MODULE: u64 = 256 * 1024 * 1024;

/// What became of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// It was loaded.
    Now,
    /// It is loaded already, or built in.
    Before,
}

/// Why a module can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The file can't be read.
    #[error("can't read the kernel module {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file can't be unpacked.
    #[error("can't unpack the kernel module {path}")]
    Unpack {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refuses it.
    #[error("the kernel refuses the module {path}{}", hint(*.source))]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Errno,
    },
    /// The parameters hold a NUL.
    #[error("the parameters of {path} hold a NUL byte")]
    Parameters {
        /// The file.
        path: PathBuf,
    },
}

impl ModuleError {
    /// The system's error number, where there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Read { source, .. } | Self::Unpack { source, .. } => source.raw_os_error(),
            Self::Refused { source, .. } => Some(*source as i32),
            Self::Parameters { .. } => None,
        }
    }
}

fn hint(errno: Errno) -> &'static str {
    if errno == Errno::ENOENT {
        ": a symbol is unknown, so load the modules that it depends on first"
    } else if errno == Errno::ENOEXEC {
        ": it is built for another kernel"
    } else if errno == Errno::ENODEV {
        ": there is no device for it"
    } else {
        ""
    }
}

/// An error and its causes, in one line.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Loads the module in `path`, compressed or not. Its dependencies must be loaded before.
pub fn load(path: &Path, parameters: &str) -> Result<Loaded, ModuleError> {
    let read = |source| ModuleError::Read {
        path: path.to_owned(),
        source,
    };
    let parameters = CString::new(parameters).map_err(|_| ModuleError::Parameters {
        path: path.to_owned(),
    })?;
    let mut file = File::open(path).map_err(read)?;
    let mut head = Vec::new();
    (&mut file).take(8).read_to_end(&mut head).map_err(read)?;
    file.rewind().map_err(read)?;
    let flags = match Compression::of_magic(&head) {
        Compression::None => ModuleInitFlags::empty(),
        Compression::Gzip | Compression::Xz | Compression::Zstd => {
            ModuleInitFlags::from_bits_retain(COMPRESSED_FILE)
        }
    };
    match outcome(finit_module(&file, &parameters, flags)) {
        // No finit_module (added in 3.8), or no decompression in the kernel, or of another format.
        Err(Errno::ENOSYS | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOEXEC) => {
            let bytes = unpack(file).map_err(|source| ModuleError::Unpack {
                path: path.to_owned(),
                source,
            })?;
            outcome(init_module(&bytes, &parameters))
        }
        outcome => outcome,
    }
    .map_err(|source| ModuleError::Refused {
        path: path.to_owned(),
        source,
    })
}

fn outcome(result: nix::Result<()>) -> nix::Result<Loaded> {
    match result {
        Ok(()) => Ok(Loaded::Now),
        Err(Errno::EEXIST) => Ok(Loaded::Before),
        Err(error) => Err(error),
    }
}

/// The module's bytes, unpacked if need be.
pub(crate) fn unpack(mut file: impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    (&mut file).take(8).read_to_end(&mut head)?;
    let whole = io::Cursor::new(&head).chain(file);
    let mut bytes = Vec::new();
    Compression::of_magic(&head)
        .reader(whole)?
        .take(MAX_MODULE + 1)
        .read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_MODULE {
        return Err(io::Error::other(format!(
            "it is larger than {MAX_MODULE} bytes"
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn unpacks_by_content_and_leaves_plain_modules_alone() {
        let module = b"\x7fELF and so on".repeat(100);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&module).unwrap();
        let zstd = ruzstd::encoding::compress_to_vec(
            module.as_slice(),
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        for packed in [module.clone(), gzip.finish().unwrap(), zstd] {
            assert_eq!(unpack(packed.as_slice()).unwrap(), module);
        }
    }

    #[test]
    fn a_damaged_module_is_an_error() {
        assert!(unpack([0x1f, 0x8b, 8, 0, 1, 2, 3].as_slice()).is_err());
        assert!(unpack([0x28, 0xb5, 0x2f, 0xfd, 0xff].as_slice()).is_err());
        assert!(unpack([0xfd, b'7', b'z', b'X', b'Z', 0, 9, 9].as_slice()).is_err());
    }
}
