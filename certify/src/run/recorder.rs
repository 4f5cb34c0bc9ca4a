//! The one way by which anything that happens becomes known: into the journal first, then to
//! whoever watches.

use std::sync::{Arc, Mutex, PoisonError};

use matrix::cell::CellId;
use matrix::event::{Entry, Event};

use crate::journal::{JournalError, Writer};

/// Somebody who watches a run. Must not block for long.
pub trait Watcher: Send + Sync {
    /// Something happened, and is in the journal.
    fn saw(&self, entry: &Entry);
}

/// Records events of many cells at once.
#[derive(Clone)]
pub struct Recorder {
    journal: Arc<Mutex<Writer>>,
    watcher: Arc<dyn Watcher>,
}

impl Recorder {
    /// Records into `journal`, and tells `watcher`.
    pub fn new(journal: Writer, watcher: Arc<dyn Watcher>) -> Self {
        Self {
            journal: Arc::new(Mutex::new(journal)),
            watcher,
        }
    }

    /// Records an event.
    ///
    /// # Errors
    /// The journal can't be written: the run must end, nothing more can be proved.
    pub fn record(&self, cell: &CellId, attempt: u32, event: Event) -> Result<Entry, JournalError> {
        // A panic while it was held left at worst a torn line, which readers know.
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = journal.append(cell, attempt, event)?;
        drop(journal);
        self.watcher.saw(&entry);
        Ok(entry)
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}
