//! The log of an OCI runtime, which tools read.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;

use crate::cli::terminal;
use crate::runtime;

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// `time="…" level=error msg="…"`
    Text,
    /// `{"level":"error","msg":"…","time":"…"}`
    Json,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// The verb failed.
    Error,
    /// Something went wrong, and the verb goes on.
    Warning,
    /// What is being done.
    Debug,
}

/// A log, or none.
#[derive(Debug)]
pub(super) struct Log {
    file: Option<PathBuf>,
    format: Format,
}

#[derive(Serialize)]
struct Line<'a> {
    level: Level,
    msg: &'a str,
    time: &'a str,
}

impl Log {
    pub(super) fn new(file: Option<&Path>, format: Format) -> Self {
        Self {
            file: file.map(Path::to_owned),
            format,
        }
    }

    /// Tells of what went wrong without being why the verb fails.
    pub(super) fn warn(&self, errors: &[runtime::Error]) {
        for error in errors {
            self.write(Level::Warning, &error.to_string());
            terminal::message(&format!("keel: warning: {error}"));
        }
    }

    /// Adds a line. A log that cannot be written must not be what a verb fails of.
    pub(super) fn write(&self, level: Level, message: &str) {
        let Some(path) = &self.file else { return };
        let time = format!("{:.0}", jiff::Timestamp::now());
        let line = self.format.line(level, message, &time);
        let file = OpenOptions::new().create(true).append(true).open(path);
        drop(file.and_then(|mut file| file.write_all(line.as_bytes())));
    }
}

impl Format {
    fn line(self, level: Level, message: &str, time: &str) -> String {
        let line = Line {
            level,
            msg: message,
            time,
        };
        match self {
            Self::Json => serde_json::to_string(&line).unwrap_or_default() + "\n",
            Self::Text => {
                let level = match level {
                    Level::Error => "error",
                    Level::Warning => "warning",
                    Level::Debug => "debug",
                };
                format!("time={time:?} level={level} msg={message:?}\n")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_in_both_forms() {
        let line = |format: Format| format.line(Level::Error, "a \"b\"\nc", "2030-01-01T00:00:00Z");
        insta::assert_snapshot!(line(Format::Json).trim_end(), @r#"{"level":"error","msg":"a \"b\"\nc","time":"2030-01-01T00:00:00Z"}"#);
        insta::assert_snapshot!(line(Format::Text).trim_end(), @r#"time="2030-01-01T00:00:00Z" level=error msg="a \"b\"\nc""#);
    }
}
