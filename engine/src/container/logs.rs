//! The log of a container, in Docker's json-file format: a JSON object a line, each with a line
//! of output, the stream that it came from, and when.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::clock;

/// A line longer than this is split, as Docker does, so that one cannot fill the memory.
const MAX_LINE: usize = 16 << 10;
/// The longest line of the file: every byte of the output may take six (`\u0000`).
const MAX_RECORD: u64 = 6 * MAX_LINE as u64 + 1024;

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
    /// When it was read, RFC 3339 in UTC.
    pub time: String,
}

/// Writes a container's log.
#[derive(Debug)]
pub(super) struct LogWriter {
    file: File,
    /// Lines that have no end yet, of each stream.
    begun: [Vec<u8>; 2],
}

impl LogWriter {
    /// Opens the log, new or to be continued.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: File::options().create(true).append(true).open(path)?,
            begun: [Vec::new(), Vec::new()],
        })
    }

    /// Takes output as it comes, and writes the lines that are whole.
    pub(super) fn take(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let begun = begun(&mut self.begun, stream);
        begun.extend_from_slice(bytes);
        let mut out = Vec::new();
        let mut from = 0;
        while let Some(rest) = begun.get(from..) {
            let length = match rest.iter().position(|&byte| byte == b'\n') {
                Some(at) if at < MAX_LINE => at + 1,
                _ if rest.len() > MAX_LINE => split_at_char(rest),
                _ => break,
            };
            append(&mut out, stream, rest.get(..length).unwrap_or(rest))?;
            from += length;
        }
        begun.drain(..from);
        // One write, so that whoever reads along sees whole lines.
        self.file.write_all(&out)
    }

    /// Writes what was begun and will not be continued.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(begun(&mut self.begun, stream));
            if !rest.is_empty() {
                let mut out = Vec::new();
                append(&mut out, stream, &rest)?;
                self.file.write_all(&out)?;
            }
        }
        Ok(())
    }
}

fn begun(both: &mut [Vec<u8>; 2], stream: Stream) -> &mut Vec<u8> {
    let [stdout, stderr] = both;
    match stream {
        Stream::Stdout => stdout,
        Stream::Stderr => stderr,
    }
}

/// Where to split a line that is too long: not inside a character, if it is text.
fn split_at_char(line: &[u8]) -> usize {
    let is_continuation = |at: &usize| line.get(*at).is_some_and(|byte| byte & 0xC0 == 0x80);
    let back = (0..4).map(|n| MAX_LINE - n);
    back.into_iter()
        .find(|at| !is_continuation(at))
        .unwrap_or(MAX_LINE)
}

fn append(out: &mut Vec<u8>, stream: Stream, line: &[u8]) -> io::Result<()> {
    let record = Record {
        log: String::from_utf8_lossy(line).into_owned(),
        stream,
        time: clock::now(),
    };
    serde_json::to_writer(&mut *out, &record)?;
    out.push(b'\n');
    Ok(())
}

/// Reads a log, and goes on where it stopped when there is more.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    /// `None`: the container has not said anything yet.
    file: Option<BufReader<File>>,
    /// The part of a line that is there already.
    begun: Vec<u8>,
}

impl LogReader {
    /// Opens a log. A container that has not said anything yet may have none: then it is empty.
    ///
    /// # Errors
    /// Those of opening.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut reader = Self {
            path: path.to_owned(),
            file: None,
            begun: Vec::new(),
        };
        reader.look_for_file()?;
        Ok(reader)
    }

    fn look_for_file(&mut self) -> io::Result<()> {
        match File::open(&self.path) {
            Ok(file) => self.file = Some(BufReader::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The next line, or `None` when there is none yet. What is no log line (a machine that lost
    /// its power writes zeros) is left out.
    ///
    /// # Errors
    /// Those of reading.
    pub fn next_record(&mut self) -> io::Result<Option<Record>> {
        if self.file.is_none() {
            self.look_for_file()?;
        }
        let Some(file) = &mut self.file else {
            return Ok(None);
        };
        loop {
            let room = MAX_RECORD.saturating_sub(self.begun.len() as u64);
            let mut limited = io::Read::take(&mut *file, room);
            limited.read_until(b'\n', &mut self.begun)?;
            let is_whole = self.begun.ends_with(b"\n");
            if !is_whole && (self.begun.len() as u64) < MAX_RECORD {
                return Ok(None);
            }
            let line = std::mem::take(&mut self.begun);
            if let Ok(record) = serde_json::from_slice(&line) {
                return Ok(Some(record));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.ndjson");
        (folder, path)
    }

    fn all(reader: &mut LogReader) -> Vec<(Stream, String)> {
        std::iter::from_fn(|| reader.next_record().unwrap())
            .map(|record| (record.stream, record.log))
            .collect()
    }

    #[test]
    fn lines_are_kept_whole_however_they_come() {
        let (_folder, path) = log();
        let mut writer = LogWriter::open(&path).unwrap();
        writer.take(Stream::Stdout, b"one\ntw").unwrap();
        writer.take(Stream::Stderr, b"other\n").unwrap();
        writer.take(Stream::Stdout, b"o\nlast").unwrap();
        writer.finish().unwrap();
        let lines = all(&mut LogReader::open(&path).unwrap());
        let expected = [
            (Stream::Stdout, "one\n"),
            (Stream::Stderr, "other\n"),
            (Stream::Stdout, "two\n"),
            (Stream::Stdout, "last"),
        ];
        assert_eq!(
            lines,
            expected.map(|(stream, line)| (stream, line.to_owned()))
        );
    }

    #[test]
    fn a_reader_goes_on_where_it_stopped() {
        let (_folder, path) = log();
        let mut writer = LogWriter::open(&path).unwrap();
        let mut reader = LogReader::open(&path).unwrap();
        writer.take(Stream::Stdout, b"one\n").unwrap();
        assert_eq!(all(&mut reader).len(), 1);
        writer.take(Stream::Stdout, b"two\n").unwrap();
        assert_eq!(all(&mut reader), [(Stream::Stdout, "two\n".to_owned())]);
    }

    #[test]
    fn an_endless_line_is_split_between_characters() {
        let (_folder, path) = log();
        let mut writer = LogWriter::open(&path).unwrap();
        let line = format!("{}{}\n", "x".repeat(MAX_LINE - 1), "é".repeat(MAX_LINE));
        writer.take(Stream::Stdout, line.as_bytes()).unwrap();
        let lines = all(&mut LogReader::open(&path).unwrap());
        assert!(lines.len() > 2);
        let whole: String = lines.into_iter().map(|(_, line)| line).collect();
        assert_eq!(whole, line);
    }

    #[test]
    fn zeros_of_a_power_failure_hide_no_later_line() {
        let (_folder, path) = log();
        std::fs::write(&path, [0; 300]).unwrap();
        let mut writer = LogWriter::open(&path).unwrap();
        writer
            .take(Stream::Stdout, b"lost with the zeros\n")
            .unwrap();
        writer.take(Stream::Stdout, b"kept\n").unwrap();
        let lines = all(&mut LogReader::open(&path).unwrap());
        assert_eq!(lines, [(Stream::Stdout, "kept\n".to_owned())]);
    }
}
