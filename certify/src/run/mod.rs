//! Running a plan: cells on machines, what they said into the journal.
//!
//! [`facts`] are what `run.json` holds, [`folder`] reads a run folder back.

pub mod facts;
pub mod folder;
pub mod system_check;

pub use facts::{HostFacts, RUN_SCHEMA, RunFacts};
pub use folder::{CellFolder, Console, FolderError, RunFolder};
