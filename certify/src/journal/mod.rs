//! The journal: what happened in a run, a JSON line an event, appended and never changed.
//!
//! It is the only thing that `--resume` trusts. A line counts once its newline is on the disk:
//! what follows the last newline was being written when the run was killed, and is dropped.

mod reader;
mod writer;

pub use reader::{Journal, JournalError, parse, read};
pub use writer::{Locked, Writer};
