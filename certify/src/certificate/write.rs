//! Making the certificate of a run folder.

use std::path::{Path, PathBuf};

use super::envelope::{Envelope, IN_TOTO};
use super::evidence::{EvidenceError, Inventory};
use super::key::SigningKey;
use super::statement::Statement;
use crate::durable;
use crate::run::RunFolder;
use crate::run::folder::name;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The evidence can't be taken stock of.
    #[error("the run's evidence can't be read")]
    Evidence(#[source] EvidenceError),
    /// The folder holds what no run makes.
    #[error("{} is no plain file: take it out of the run folder, a certificate can't cover it", path.display())]
    Foreign {
        /// What it is.
        path: PathBuf,
    },
    /// The results were not written.
    #[error("the run folder has no results.json: judge it first (`seaworthy judge DIR`)")]
    NoResults,
    /// The statement can't be stored.
    #[error("{} can't be written", path.display())]
    Store {
        /// The certificate.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// Signs everything in the folder, which must be complete: whatever is added or changed later
/// makes the certificate invalid. Gives the certificate's path.
///
/// # Errors
/// The evidence can't be read, or the certificate not written.
pub fn write(folder: &RunFolder, key: &SigningKey) -> Result<PathBuf, WriteError> {
    let path: PathBuf = Path::new(&folder.path).join(name::CERTIFICATE);
    let inventory = Inventory::take(&folder.path, &path).map_err(WriteError::Evidence)?;
    if let Some(path) = inventory.foreign.into_iter().next() {
        return Err(WriteError::Foreign { path });
    }
    let results = (inventory.files.get(name::RESULTS)).ok_or(WriteError::NoResults)?;
    let results_sha256 = results.sha256.clone();
    let statement = Statement::new(
        &folder.run,
        &folder.results,
        inventory.files,
        &results_sha256,
        key.public(),
        key.lifetime(),
    );
    let store = |source| WriteError::Store {
        path: path.clone(),
        source,
    };
    let payload = serde_json::to_vec(&statement).map_err(|error| store(error.into()))?;
    let envelope = Envelope::seal(IN_TOTO, &payload, key);
    durable::write_json(&path, &envelope).map_err(store)?;
    Ok(path)
}
