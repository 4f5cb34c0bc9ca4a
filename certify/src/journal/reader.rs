//! Reading a journal back.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use matrix::event::Entry;

/// No journal is longer: 256 MiB, about a million cases.
const MAX_JOURNAL: u64 = 256 << 20;

/// A journal as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    /// The events, in the order of their lines.
    pub entries: Vec<Entry>,
    /// How many bytes the whole lines take: what follows is torn.
    pub whole_bytes: u64,
}

/// Why a journal can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("{} can't be {verb}", path.display())]
    Io {
        /// The journal.
        path: PathBuf,
        /// What was tried.
        verb: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A line is no event.
    #[error("line {line} of {} is no event: the journal was changed after it was written", path.display())]
    Line {
        /// The journal.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What was expected.
        #[source]
        source: serde_json::Error,
    },
    /// It has no reasonable size.
    #[error("{} is longer than {MAX_JOURNAL} bytes, which no run writes", path.display())]
    TooLong {
        /// The journal.
        path: PathBuf,
    },
    /// Another process writes it.
    #[error("{} is being written by another seaworthy: wait for it, or use another `--out`", path.display())]
    Busy {
        /// The journal.
        path: PathBuf,
    },
}

/// Reads the journal at `path`.
///
/// # Errors
/// It can't be read, or a whole line of it is no event.
pub fn read(path: &Path) -> Result<Journal, JournalError> {
    let file = File::open(path).map_err(|source| JournalError::Io {
        path: path.to_owned(),
        verb: "opened",
        source,
    })?;
    read_open(path, &file)
}

/// Reads the journal that was opened as `path`.
pub(super) fn read_open(path: &Path, file: &File) -> Result<Journal, JournalError> {
    let mut bytes = Vec::new();
    file.take(MAX_JOURNAL + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| JournalError::Io {
            path: path.to_owned(),
            verb: "read",
            source,
        })?;
    if bytes.len() as u64 > MAX_JOURNAL {
        return Err(JournalError::TooLong {
            path: path.to_owned(),
        });
    }
    parse(path, &bytes)
}

/// Reads a journal's bytes; `path` stands in errors.
///
/// # Errors
/// A whole line is no event.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Journal, JournalError> {
    let whole = bytes
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |at| at + 1);
    let mut entries = Vec::new();
    let lines = bytes
        .get(..whole)
        .unwrap_or_default()
        .split_inclusive(|&byte| byte == b'\n');
    for (index, line) in lines.enumerate() {
        entries.push(
            serde_json::from_slice(line).map_err(|source| JournalError::Line {
                path: path.to_owned(),
                line: index + 1,
                source,
            })?,
        );
    }
    Ok(Journal {
        entries,
        whole_bytes: whole as u64,
    })
}
