//! `--pid-file`.

use std::fs;
use std::path::Path;

use super::Error;

/// Writes a process id, whole or not at all: who waits for the file to appear may read it at once.
pub(super) fn write(path: &Path, pid: u32) -> Result<(), Error> {
    let mut name = std::ffi::OsString::from(".");
    name.push(
        path.file_name()
            .ok_or(Error::Use("--pid-file must name a file"))?,
    );
    let new = path.with_file_name(name);
    fs::write(&new, pid.to_string())
        .and_then(|()| fs::rename(&new, path))
        .map_err(Error::io("write", path))
}
