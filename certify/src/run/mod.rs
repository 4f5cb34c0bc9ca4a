//! Running a plan: cells on machines, what they said into the journal.
//!
//! [`facts`] are what `run.json` holds; [`start`] begins a run or goes on with one;
//! [`schedule`] runs its cells, each of which is checked and tested on a machine of its own
//! ([`crate::provision`]); [`recorder`] is the one way into the journal, and [`progress`] shows
//! it as it happens; [`folder`] reads all of it back.

mod cell;
pub mod certify;
pub mod facts;
pub mod folder;
mod history;
pub mod host;
pub mod listing;
pub mod progress;
mod queue;
pub mod recorder;
pub mod schedule;
pub mod start;
mod suite_stream;
pub mod system_check;

#[cfg(test)]
mod tests;

pub use cell::{CellError, Patience};
pub use facts::{HostFacts, RUN_SCHEMA, RunFacts};
pub use folder::{CellFolder, Console, FolderError, RunFolder};
