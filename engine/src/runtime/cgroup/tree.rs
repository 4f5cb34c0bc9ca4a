//! Files and folders of a hierarchy, with errors that say which.

use std::fs;
use std::io;
use std::path::Path;

use super::Error;

pub(super) fn failed(action: &str, path: &Path, source: io::Error) -> Error {
    Error::Io {
        action: action.to_owned(),
        path: path.to_owned(),
        source,
    }
}

/// Writes a value in one call, as the kernel takes each write for itself.
pub(super) fn write(folder: &Path, file: &str, value: &str) -> Result<(), Error> {
    let path = folder.join(file);
    let written = fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()));
    written.map_err(|source| failed(&format!("write {value:?} to"), &path, source))
}

pub(super) fn read(folder: &Path, file: &str) -> Result<String, Error> {
    let path = folder.join(file);
    fs::read_to_string(&path).map_err(|source| failed("read", &path, source))
}

/// A file that this kernel may not have.
pub(super) fn read_if_there(folder: &Path, file: &str) -> Result<Option<String>, Error> {
    match read(folder, file) {
        Ok(text) => Ok(Some(text)),
        // ENODEV and EOPNOTSUPP: the file is there but its feature is off.
        Err(Error::Io { source, .. })
            if source.kind() == io::ErrorKind::NotFound
                || [Some(nix::libc::ENODEV), Some(nix::libc::EOPNOTSUPP)]
                    .contains(&source.raw_os_error()) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The number after a key: `oom_kill 3`.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    })
}

/// Whether a folder was made or was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    New,
    Old,
}

pub(super) fn make(folder: &Path) -> Result<Made, Error> {
    match fs::create_dir(folder) {
        Ok(()) => Ok(Made::New),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Made::Old),
        Err(error) => Err(failed("create", folder, error)),
    }
}

/// The group folders directly below one.
pub(super) fn children(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// The process ids in a group and below.
pub(super) fn pids(folder: &Path, into: &mut Vec<u32>) -> Result<(), Error> {
    match read_if_there(folder, "cgroup.procs")? {
        Some(list) => into.extend(list.lines().filter_map(|line| line.parse::<u32>().ok())),
        None => return Ok(()),
    }
    for child in children(folder) {
        pids(&child, into)?;
    }
    Ok(())
}
