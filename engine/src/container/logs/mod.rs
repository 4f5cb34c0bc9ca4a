//! What a container says, and where that is kept.
//!
//! In the order of the flow: `target` (where, and with what beside each line) → `lines` (output
//! as it comes becomes lines) → `writer`, which hands them to `file` (Docker's json-file format),
//! `syslog` or `journald` → `reader`, which shows files again.

mod file;
mod journald;
mod lines;
mod reader;
mod record;
mod socket;
mod syslog;
mod target;
mod writer;

pub use reader::LogReader;
pub use record::{Record, Stream};
pub(super) use target::LogTarget;
pub(super) use writer::LogWriter;

/// A line longer than this is split, as Docker does, so that one cannot fill the memory.
const MAX_LINE: usize = 16 << 10;
