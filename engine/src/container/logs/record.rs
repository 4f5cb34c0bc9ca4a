//! A line of a log file: Docker's json-file format, a JSON object a line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Which of the two a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output; also the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The output, usually with the end of the line.
    pub log: String,
    /// Where it came from.
    pub stream: Stream,
    /// Tag, labels and variables that were asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attrs: BTreeMap<String, String>,
    /// When it was read, RFC 3339 in UTC.
    pub time: String,
}
