//! Judging a run folder: the pure judge of `matrix`, and where its results are kept.

use std::path::{Path, PathBuf};

use jiff::civil::Date;
use matrix::results::Results;

use crate::durable;
use crate::run::folder::{FolderError, RunFolder, name};

/// What judging again came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejudged {
    /// What the journal comes to.
    pub results: Results,
    /// Whether `results.json` said otherwise, or was not there.
    pub changed: Changed,
}

/// Whether `results.json` had to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It says something else now.
    Yes,
    /// It says something else, and was left so: a certificate stands over it.
    Kept,
    /// It said so already.
    No,
}

/// Whether results that differ are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Only where no certificate becomes invalid by it.
    UnlessCertified,
    /// Whatever becomes of a certificate.
    Always,
}

/// Why a folder can't be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// It is no run folder.
    #[error("the run can't be judged")]
    Folder(#[source] FolderError),
    /// The results can't be stored.
    #[error("{} can't be written", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// Judges the folder at `path` again, and stores the results where they differ and `write` lets
/// them be.
///
/// # Errors
/// It is no run folder, or the results can't be stored.
pub fn rejudge(path: &Path, write: Write) -> Result<Rejudged, JudgeError> {
    let results = judge_as_of(path, None)?;
    let stored = match std::fs::read(path.join(name::RESULTS)) {
        Ok(bytes) => serde_json::from_slice::<Results>(&bytes).ok(),
        Err(_) => None,
    };
    let changed = if stored.as_ref() == Some(&results) {
        Changed::No
    } else if write == Write::UnlessCertified && path.join(name::CERTIFICATE).exists() {
        Changed::Kept
    } else {
        store(path, &results)?;
        Changed::Yes
    };
    Ok(Rejudged { results, changed })
}

/// What the folder at `path` would come to if it were judged on another day than that of the
/// run: waivers may have run out since. Stores nothing.
///
/// # Errors
/// It is no run folder.
pub fn judge_as_of(path: &Path, today: Option<Date>) -> Result<Results, JudgeError> {
    let run = crate::run::folder::read_run(path).map_err(JudgeError::Folder)?;
    let journal = crate::journal::read(&path.join(name::JOURNAL))
        .map_err(|error| JudgeError::Folder(FolderError::Journal(error)))?;
    let trial = matrix::judge::Trial {
        today: today.unwrap_or(run.judged_on),
        ..crate::run::folder::trial(&run)
    };
    Ok(matrix::judge::judge(&trial, &journal.entries))
}

/// Judges an open folder, and stores the results in it.
///
/// # Errors
/// The results can't be stored.
pub fn judge(folder: &mut RunFolder) -> Result<(), JudgeError> {
    folder.results = folder.judge();
    store(&folder.path, &folder.results)
}

fn store(path: &Path, results: &Results) -> Result<(), JudgeError> {
    let path = path.join(name::RESULTS);
    durable::write_json(&path, results).map_err(|source| JudgeError::Store { path, source })
}
