//! Showing log files, and what is added to them.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::file::older;
use super::{MAX_LINE, Record};

/// The longest line of a file: every byte of the output may take six (`\u0000`), and labels and
/// variables stand beside it.
const MAX_RECORD: u64 = 6 * MAX_LINE as u64 + (1 << 20);

/// Reads a log from its oldest file on, and goes on where it stopped when there is more.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    /// Those that are still to be read, the next one last.
    files: Vec<BufReader<File>>,
    /// The file that was read last.
    last: Option<(u64, u64)>,
    /// The part of a line that is there already.
    begun: Vec<u8>,
}

/// How often is looked again while files move up, which takes a moment. After that somebody has
/// taken one away.
const LOOKS: u32 = 1000;

fn identity(file: &File) -> io::Result<(u64, u64)> {
    let found = file.metadata()?;
    Ok((found.dev(), found.ino()))
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl LogReader {
    /// Opens a log. A container that has not said anything yet may have none: then it is empty.
    ///
    /// # Errors
    /// Those of opening.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut reader = Self {
            path: path.to_owned(),
            files: Vec::new(),
            last: None,
            begun: Vec::new(),
        };
        reader.look_for_newer()?;
        Ok(reader)
    }

    /// Opens the files that are newer than the one that was read last.
    fn look_for_newer(&mut self) -> io::Result<()> {
        let mut newer = self.newer()?;
        for _ in 0..LOOKS {
            // Files that move up twice meanwhile are seen in another order than they were written
            // in.
            if self.begins_with_the_newest(&newer)? {
                break;
            }
            newer = self.newer()?;
        }
        self.files = newer.into_iter().map(BufReader::new).collect();
        Ok(())
    }

    /// One look at them, the newest first.
    fn newer(&self) -> io::Result<Vec<File>> {
        let mut newer: Vec<File> = Vec::new();
        let mut number = 0;
        let mut looks = 0;
        loop {
            let path = match number {
                0 => self.path.clone(),
                number => older(&self.path, number),
            };
            let Some(file) = open(&path)? else {
                // One is absent for a moment while files move up.
                if looks < LOOKS && older(&self.path, number + 1).exists() {
                    looks += 1;
                    std::thread::yield_now();
                    continue;
                }
                return Ok(newer);
            };
            number += 1;
            let this = identity(&file)?;
            if Some(this) == self.last {
                return Ok(newer);
            }
            // One that moved up between two looks is there already.
            let is_known = |known: &File| identity(known).is_ok_and(|known| known == this);
            if !newer.iter().any(is_known) {
                newer.push(file);
            }
        }
    }

    fn begins_with_the_newest(&self, newer: &[File]) -> io::Result<bool> {
        let first = newer.first().map(identity).transpose()?;
        Ok(match open(&self.path)? {
            Some(newest) => {
                let newest = Some(identity(&newest)?);
                newest == first || (first.is_none() && newest == self.last)
            }
            // The whole log may be gone for good.
            None => !older(&self.path, 1).exists(),
        })
    }

    /// The next line, or `None` when there is none yet. What is no log line (a machine that lost
    /// its power writes zeros) is left out.
    ///
    /// # Errors
    /// Those of reading.
    pub fn next_record(&mut self) -> io::Result<Option<Record>> {
        loop {
            if self.files.is_empty() {
                self.look_for_newer()?;
            }
            let is_newest = self.files.len() == 1;
            let Some(file) = self.files.last_mut() else {
                return Ok(None);
            };
            let room = MAX_RECORD.saturating_sub(self.begun.len() as u64);
            let mut limited = io::Read::take(&mut *file, room);
            limited.read_until(b'\n', &mut self.begun)?;
            let is_whole = self.begun.ends_with(b"\n");
            if !is_whole && (self.begun.len() as u64) < MAX_RECORD {
                let this = identity(file.get_ref())?;
                if is_newest && !self.was_turned_over(this)? {
                    return Ok(None);
                }
                // Nothing more comes in an older file; what was written to this one before it
                // became one has been read by now only if it is looked at once more.
                if is_newest && self.has_more()? {
                    continue;
                }
                self.begun.clear();
                self.last = Some(this);
                self.files.pop();
                continue;
            }
            let line = std::mem::take(&mut self.begun);
            if let Ok(record) = serde_json::from_slice(&line) {
                return Ok(Some(record));
            }
        }
    }

    fn was_turned_over(&self, this: (u64, u64)) -> io::Result<bool> {
        match fs::metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) != this),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the file that is being read has more.
    fn has_more(&mut self) -> io::Result<bool> {
        match self.files.last_mut() {
            Some(file) => Ok(!file.fill_buf()?.is_empty()),
            None => Ok(false),
        }
    }
}
