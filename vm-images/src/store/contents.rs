//! The digest of many files as one: what is booted has to be what was unpacked.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{DESCRIPTION, OWN_TABLE, StoreError};
use crate::cache::{digest_of, hexadecimal};

/// The SHA-256 over the paths in `folder` and the digests of these files of it, in hexadecimal.
/// No file is held in memory.
pub(super) fn digest_of_files(folder: &Path, files: &[PathBuf]) -> Result<String, StoreError> {
    let mut hash = Sha256::new();
    for file in files {
        let (sha256, _) = File::open(file)
            .and_then(|file| digest_of(BufReader::with_capacity(1 << 16, file)))
            .map_err(unreadable(file))?;
        let inner = file.strip_prefix(folder).unwrap_or(file);
        hash.update(inner.as_os_str().as_encoded_bytes());
        hash.update(format!("\0{sha256}\n"));
    }
    Ok(hexadecimal(hash))
}

/// The same of all files of an unpacked kernel but its description, which keeps it, and what is
/// added to the folder later.
pub(super) fn digest_of_kernel(dir: &Path) -> Result<String, StoreError> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(unreadable(&folder))? {
            let entry = entry.map_err(unreadable(&folder))?;
            let kind = entry.file_type().map_err(unreadable(&folder))?;
            let name = entry.file_name();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if name != DESCRIPTION && !name.to_string_lossy().starts_with(OWN_TABLE) {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    digest_of_files(dir, &files)
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Unreadable { path, source }
}
