//! The evidence: every file of a run folder, by path, size and digest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// No run folder is deeper.
const MAX_DEPTH: usize = 32;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileDigest {
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of its content, 64 hexadecimal digits.
    pub sha256: String,
}

/// What is in a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Every regular file by its path in the folder, parts joined by `/`.
    pub files: BTreeMap<String, FileDigest>,
    /// What is neither a folder nor a regular file, or has a name that is no UTF-8. Nothing
    /// like it may be in a run folder: its content is not its own.
    pub foreign: Vec<PathBuf>,
}

/// Why a folder can't be taken stock of.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// A file or folder can't be read.
    #[error("{} can't be read, so its digest is not known", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Folders in folders without an end.
    #[error("{} is more than {MAX_DEPTH} folders deep, which no run makes", path.display())]
    TooDeep {
        /// The folder.
        path: PathBuf,
    },
}

impl Inventory {
    /// Takes stock of `folder`, but for the file at `except`. No symbolic link is followed.
    ///
    /// # Errors
    /// Something can't be read.
    pub fn take(folder: &Path, except: &Path) -> Result<Self, EvidenceError> {
        let mut inventory = Self::default();
        inventory.walk(folder, "", except, 0)?;
        inventory.foreign.sort();
        Ok(inventory)
    }

    fn walk(
        &mut self,
        folder: &Path,
        prefix: &str,
        except: &Path,
        depth: usize,
    ) -> Result<(), EvidenceError> {
        if depth > MAX_DEPTH {
            return Err(EvidenceError::TooDeep {
                path: folder.to_owned(),
            });
        }
        let error = |path: &Path| {
            let path = path.to_owned();
            move |source| EvidenceError::Read { path, source }
        };
        for entry in fs::read_dir(folder).map_err(error(folder))? {
            let entry = entry.map_err(error(folder))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(error(&path))?;
            let Some(name) = entry
                .file_name()
                .to_str()
                .map(|name| format!("{prefix}{name}"))
            else {
                self.foreign.push(path);
                continue;
            };
            if kind.is_dir() {
                self.walk(&path, &format!("{name}/"), except, depth + 1)?;
            } else if !kind.is_file() {
                self.foreign.push(path);
            } else if !(prefix.is_empty() && except.file_name() == Some(&entry.file_name())) {
                let digest = digest(&path).map_err(error(&path))?;
                self.files.insert(name, digest);
            }
        }
        Ok(())
    }
}

/// Length and SHA-256 of a file, read in pieces.
///
/// # Errors
/// Those of the file system.
pub fn digest(path: &Path) -> io::Result<FileDigest> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => {
                hash.update(buffer.get(..count).unwrap_or_default());
                size += count as u64;
            }
        }
    }
    Ok(FileDigest {
        size,
        sha256: format!("{:x}", hash.finalize()),
    })
}
