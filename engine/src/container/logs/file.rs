//! Log files: one that grows, and older ones (`.1` the newest of them) when it may not be too large.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::record::{Record, Stream};
use crate::container::clock;

/// Writes log files.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: Option<u64>,
    files: u32,
    attrs: BTreeMap<String, String>,
}

/// The name of an older file.
pub(super) fn older(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

impl LogFile {
    /// Opens the newest file, new or to be continued.
    pub(super) fn open(
        path: &Path,
        max_bytes: Option<u64>,
        files: u32,
        attrs: BTreeMap<String, String>,
    ) -> io::Result<Self> {
        let file = open(path)?;
        Ok(Self {
            path: path.to_owned(),
            bytes: file.metadata()?.len(),
            file,
            max_bytes,
            files,
            attrs,
        })
    }

    /// Adds lines. One write as far as one file takes them, so that whoever reads along sees whole
    /// lines.
    pub(super) fn write(&mut self, stream: Stream, lines: &[Vec<u8>]) -> io::Result<()> {
        let mut out = Vec::new();
        for line in lines {
            let record = Record {
                log: String::from_utf8_lossy(line).into_owned(),
                stream,
                attrs: self.attrs.clone(),
                time: clock::now(),
            };
            serde_json::to_writer(&mut out, &record)?;
            out.push(b'\n');
            if self.is_full(out.len()) {
                self.flush(&mut out)?;
                self.turn_over()?;
            }
        }
        self.flush(&mut out)
    }

    /// As Docker counts: a file is full when it has reached the size, not before a line would
    /// exceed it.
    fn is_full(&self, more: usize) -> bool {
        self.max_bytes
            .is_some_and(|most| self.bytes + more as u64 >= most)
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.file.write_all(out)?;
        self.bytes += out.len() as u64;
        out.clear();
        Ok(())
    }

    /// Begins a new file. The older ones move up, and the oldest goes.
    fn turn_over(&mut self) -> io::Result<()> {
        if self.files < 2 {
            fs::remove_file(&self.path)?;
        } else {
            for number in (1..self.files - 1).rev() {
                match fs::rename(older(&self.path, number), older(&self.path, number + 1)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            fs::rename(&self.path, older(&self.path, 1))?;
        }
        self.file = open(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}
