//! Finding an engine's program.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::AdapterError;

/// The program that was named, or `name` beside `seaworthy` or in `PATH`; absolute.
pub(super) fn find(named: Option<PathBuf>, name: &'static str) -> Result<PathBuf, AdapterError> {
    if let Some(path) = named {
        let absolute = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        return if is_executable(&absolute) {
            Ok(absolute)
        } else {
            Err(AdapterError::NotExecutable { path })
        };
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(|folder| folder.join(name)));
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(std::env::split_paths(&in_path).map(|folder| folder.join(name)))
        .find(|candidate| candidate.is_absolute() && is_executable(candidate))
        .ok_or(AdapterError::NotFound { name })
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
