//! A run folder, read back: what judging, rendering and verifying start from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use matrix::cell::CellId;
use matrix::event::Entry;
use matrix::judge::Trial;
use matrix::results::Results;
use serde::de::DeserializeOwned;

use super::facts::{RUN_SCHEMA, RunFacts};
use crate::journal::{self, JournalError};

/// The fixed names in a run folder.
pub mod name {
    /// Plan, policy, engine, harness and host.
    pub const RUN: &str = "run.json";
    /// What happened, a line an event.
    pub const JOURNAL: &str = "journal.ndjson";
    /// A folder a cell, by its id.
    pub const CELLS: &str = "cells";
    /// The judged whole.
    pub const RESULTS: &str = "results.json";
    /// The signed statement over all of it.
    pub const CERTIFICATE: &str = "certificate.dsse.json";
    /// Every rendering.
    pub const REPORT: &str = "report";
    /// In a cell's folder: what the machine printed.
    pub const CONSOLE: &str = "console.log";
    /// In a cell's folder: the support check of its system.
    pub const CHECK: &str = "check.json";
    /// In a cell's folder: what the suite said, as it came.
    pub const EVENTS: &str = "events.ndjson";
    /// In a cell's folder: what else was kept.
    pub const ARTEFACTS: &str = "artefacts";
    /// Among those: why the cell's machine does not go on from a snapshot.
    pub const NO_SNAPSHOT: &str = "no-snapshot.txt";
    /// Among those: what the machine printed that was to be saved, or to go on.
    pub const SNAPSHOT_CONSOLE: &str = "console-snapshot.log";
}

/// JSON documents in a run folder are no longer than this: 64 MiB.
const MAX_DOCUMENT: u64 = 64 << 20;

/// How much of a console's end is read for a report: 256 KiB.
const CONSOLE_EXCERPT: u64 = 256 << 10;

/// A run folder.
#[derive(Debug, Clone)]
pub struct RunFolder {
    /// Where it is.
    pub path: PathBuf,
    /// What was fixed at its beginning.
    pub run: RunFacts,
    /// What happened, in the order of its lines.
    pub journal: Vec<Entry>,
    /// The judged whole, as it stands in the folder or, if it is not there yet, judged anew.
    pub results: Results,
    /// What stands behind each cell that has a folder.
    pub cells: BTreeMap<CellId, CellFolder>,
}

/// What stands behind a cell.
#[derive(Debug, Clone, Default)]
pub struct CellFolder {
    /// What its machine printed; absent where it has no console.
    pub console: Option<Console>,
    /// Its `check.json`, whole.
    pub check: Option<serde_json::Value>,
    /// What happened in it.
    pub events: Vec<Entry>,
    /// Files that were kept of it, relative to the run folder.
    pub artefacts: Vec<PathBuf>,
}

/// The end of a console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// At most its last 256 KiB; bytes that are no UTF-8 are replaced.
    pub text: String,
    /// How many bytes come before.
    pub cut: u64,
}

/// Why a folder is no run folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file can't be read.
    #[error("{} can't be read: is its folder that of a run?", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A document is not what it should be.
    #[error("{} is not what a run writes: it was changed, or written by another version", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// Where, and what was expected.
        #[source]
        source: serde_json::Error,
    },
    /// A document is of another version.
    #[error("{} has schema `{found}`: this version of seaworthy reads `{expected}`", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What is read.
        expected: &'static str,
    },
    /// A document has no reasonable size.
    #[error("{} is longer than {limit} bytes, which no run writes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The journal can't be read.
    #[error("the run's journal can't be read")]
    Journal(#[source] JournalError),
}

impl RunFolder {
    /// Reads the folder at `path`.
    ///
    /// # Errors
    /// `run.json` or the journal is absent or not what a run writes.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let run = read_run(path)?;
        let journal = journal::read(&path.join(name::JOURNAL)).map_err(FolderError::Journal)?;
        let results = match read_document(&path.join(name::RESULTS)) {
            Ok(results) => results,
            Err(FolderError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                matrix::judge::judge(&trial(&run), &journal.entries)
            }
            Err(error) => return Err(error),
        };
        let mut cells = BTreeMap::new();
        for cell in &run.plan.cells {
            let events = (journal.entries.iter())
                .filter(|entry| entry.cell == cell.id)
                .cloned()
                .collect();
            cells.insert(cell.id.clone(), read_cell(path, &cell.id, events)?);
        }
        Ok(Self {
            path: path.to_owned(),
            run,
            journal: journal.entries,
            results,
            cells,
        })
    }

    /// Judges the journal again.
    pub fn judge(&self) -> Results {
        matrix::judge::judge(&trial(&self.run), &self.journal)
    }
}

/// All that a run is judged by.
pub fn trial(run: &RunFacts) -> Trial<'_> {
    Trial {
        plan: &run.plan,
        policy: &run.policy,
        engine: &run.engine,
        sabotage: run.sabotage.as_ref(),
        selftest: run.selftest.as_ref(),
        cases: &run.cases,
        today: run.judged_on,
    }
}

/// Reads `run.json` of the folder at `path`.
///
/// # Errors
/// It is absent, or not what a run writes.
pub fn read_run(path: &Path) -> Result<RunFacts, FolderError> {
    let path = path.join(name::RUN);
    let run: RunFacts = read_document(&path)?;
    if run.schema != RUN_SCHEMA {
        return Err(FolderError::Schema {
            path,
            found: run.schema,
            expected: RUN_SCHEMA,
        });
    }
    Ok(run)
}

/// The folder of a cell.
pub fn cell_path(run_folder: &Path, id: &CellId) -> PathBuf {
    run_folder.join(name::CELLS).join(id.as_str())
}

fn read_cell(folder: &Path, id: &CellId, events: Vec<Entry>) -> Result<CellFolder, FolderError> {
    let path = cell_path(folder, id);
    let check = match read_document(&path.join(name::CHECK)) {
        Ok(check) => Some(check),
        Err(FolderError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let console_path = path.join(name::CONSOLE);
    let console = match read_console(&console_path) {
        Ok(console) => Some(console),
        Err(source) if source.kind() == io::ErrorKind::NotFound => None,
        Err(source) => {
            return Err(FolderError::Read {
                path: console_path,
                source,
            });
        }
    };
    let mut artefacts = Vec::new();
    if let Ok(entries) = std::fs::read_dir(path.join(name::ARTEFACTS)) {
        for entry in entries.flatten() {
            let path = entry.path();
            artefacts.extend(path.strip_prefix(folder).map(Path::to_owned));
        }
    }
    artefacts.sort();
    Ok(CellFolder {
        console,
        check,
        events,
        artefacts,
    })
}

fn read_console(path: &Path) -> io::Result<Console> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let cut = length.saturating_sub(CONSOLE_EXCERPT);
    file.seek(SeekFrom::Start(cut))?;
    let mut bytes = Vec::new();
    file.take(CONSOLE_EXCERPT).read_to_end(&mut bytes)?;
    Ok(Console {
        text: String::from_utf8_lossy(&bytes).into_owned(),
        cut,
    })
}

/// Reads one JSON document of bounded size.
pub(crate) fn read_document<T: DeserializeOwned>(path: &Path) -> Result<T, FolderError> {
    let bytes = read_bounded(path)?;
    serde_json::from_slice(&bytes).map_err(|source| FolderError::Document {
        path: path.to_owned(),
        source,
    })
}

/// Reads one file of bounded size.
pub(crate) fn read_bounded(path: &Path) -> Result<Vec<u8>, FolderError> {
    let read = |path: &Path| {
        let mut bytes = Vec::new();
        File::open(path)?
            .take(MAX_DOCUMENT + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read(path).map_err(|source| FolderError::Read {
        path: path.to_owned(),
        source,
    })?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(FolderError::TooLong {
            path: path.to_owned(),
            limit: MAX_DOCUMENT,
        });
    }
    Ok(bytes)
}
