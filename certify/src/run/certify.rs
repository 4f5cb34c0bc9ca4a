//! The main job, end to end: cells, verdicts, report, certificate.

use std::path::PathBuf;

use tokio::sync::watch;

use super::cell::Patience;
use super::facts::RunFacts;
use super::folder::{FolderError, RunFolder};
use super::progress;
use super::recorder::Recorder;
use super::schedule::{Ended, Fleet, RunError, Schedule};
use super::start::{Resume, StartError, begin};
use crate::certificate::key::SigningKey;
use crate::certificate::{self, WriteError};
use crate::judge::{self, JudgeError};
use crate::render;

/// What is to be certified, and how.
#[derive(Debug)]
pub struct Order {
    /// The run folder.
    pub folder: PathBuf,
    /// What is fixed from the beginning.
    pub facts: RunFacts,
    /// Whether an earlier run is gone on with.
    pub resume: Resume,
    /// Signs.
    pub key: SigningKey,
    /// How long is waited.
    pub patience: Patience,
    /// Tells the milliseconds since 1970.
    pub clock: fn() -> u64,
}

/// What it came to.
#[derive(Debug)]
pub struct Certified {
    /// The run folder, judged.
    pub folder: RunFolder,
    /// Whether every cell is done.
    pub ended: Ended,
    /// The certificate; absent for a run that was interrupted.
    pub certificate: Option<PathBuf>,
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    /// The run can't begin.
    #[error("the run can't begin")]
    Start(#[from] StartError),
    /// The run can't go on.
    #[error("the run can't go on")]
    Run(#[from] RunError),
    /// What the run left can't be read.
    #[error("the run can't be read back")]
    Folder(#[from] FolderError),
    /// The run can't be judged.
    #[error("the run can't be judged")]
    Judge(#[from] JudgeError),
    /// The report can't be written.
    #[error("the report can't be written into {}", path.display())]
    Report {
        /// The run folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The certificate can't be made.
    #[error("the certificate can't be made")]
    Certificate(#[from] WriteError),
}

/// Runs the order to its end, or until `stop` becomes true. Machines are made by `fleet`.
///
/// # Errors
/// The folder can't be used, or the disk fails. What befalls a machine is a result instead.
pub async fn certify(
    order: Order,
    fleet: Fleet,
    stop: watch::Receiver<bool>,
) -> Result<Certified, CertifyError> {
    let begun = begin(&order.folder, order.facts, order.resume, order.clock)?;
    let recorder = Recorder::new(begun.writer, progress::watcher(&begun.run, &begun.journal));
    let schedule = Schedule {
        run: begun.run.into(),
        folder: order.folder.clone(),
        fleet,
        recorder: recorder.clone(),
        patience: order.patience,
    };
    let ended = schedule.run(&begun.journal, stop).await?;
    let mut folder = RunFolder::open(&order.folder)?;
    judge::judge(&mut folder)?;
    render::write_report(&folder).map_err(|source| CertifyError::Report {
        path: folder.path.clone(),
        source,
    })?;
    let certificate = match ended {
        Ended::Interrupted => None,
        Ended::Whole => Some(certificate::write(&folder, &order.key)?),
    };
    // The journal's lock is the folder's: nobody else may begin before the certificate is there.
    drop(recorder);
    Ok(Certified {
        folder,
        ended,
        certificate,
    })
}
