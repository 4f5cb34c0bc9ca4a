//! Appending to a journal.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use matrix::cell::CellId;
use matrix::event::{Entry, Event};
use nix::fcntl::{Flock, FlockArg};

use super::reader::{Journal, JournalError, parse};

/// A journal that is open for appending; nobody else can append to it meanwhile.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: Flock<File>,
    next_seq: u64,
    clock: fn() -> u64,
}

impl Writer {
    /// Opens the journal at `path`, which is made if it is not there, and gives what it holds.
    /// A torn last line is cut off. `clock` tells the milliseconds since 1970.
    ///
    /// # Errors
    /// It can't be opened, another process has it open, or a whole line of it is no event.
    pub fn open(path: &Path, clock: fn() -> u64) -> Result<(Self, Journal), JournalError> {
        let error = |verb, source| JournalError::Io {
            path: path.to_owned(),
            verb,
            source,
        };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(|source| error("opened", source))?;
        let mut file =
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
                if errno == nix::errno::Errno::EWOULDBLOCK {
                    JournalError::Busy {
                        path: path.to_owned(),
                    }
                } else {
                    error("locked", io::Error::from(errno))
                }
            })?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut *file, &mut bytes).map_err(|source| error("read", source))?;
        let journal = parse(path, &bytes)?;
        let next_seq = journal.entries.iter().map(|entry| entry.seq + 1).max();
        file.set_len(journal.whole_bytes)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .map_err(|source| error("cut at its last whole line", source))?;
        let writer = Self {
            path: path.to_owned(),
            file,
            next_seq: next_seq.unwrap_or(0),
            clock,
        };
        Ok((writer, journal))
    }

    /// Forgets everything: a new run begins.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn clear(&mut self) -> Result<(), JournalError> {
        self.next_seq = 0;
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .map_err(|source| JournalError::Io {
                path: self.path.clone(),
                verb: "emptied",
                source,
            })
    }

    /// Appends an event, and gives the line that stands in the journal. When this returns, an
    /// event that ends something (a case, a machine, a cell) is on the disk.
    ///
    /// # Errors
    /// The disk is full, or failed. The journal then ends with a torn line at worst.
    pub fn append(
        &mut self,
        cell: &CellId,
        attempt: u32,
        event: Event,
    ) -> Result<Entry, JournalError> {
        let must_last = match &event {
            Event::Case { .. }
            | Event::LeftBehind { .. }
            | Event::Broken { .. }
            | Event::Finished
            | Event::Interrupted => true,
            Event::Started { .. } | Event::Booted { .. } | Event::Checked { .. } => false,
        };
        let entry = Entry {
            seq: self.next_seq,
            at_ms: (self.clock)(),
            cell: cell.clone(),
            attempt,
            event,
        };
        let write = |file: &mut File| -> io::Result<()> {
            let mut line = serde_json::to_vec(&entry)?;
            line.push(b'\n');
            file.write_all(&line)?;
            if must_last {
                file.sync_data()?;
            }
            Ok(())
        };
        write(&mut self.file).map_err(|source| JournalError::Io {
            path: self.path.clone(),
            verb: "appended to",
            source,
        })?;
        self.next_seq += 1;
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use matrix::outcome::{CaseResult, Outcome};

    use super::*;

    fn cell() -> CellId {
        "debian-12/6.1/amd64/overlay/v2".parse().unwrap()
    }

    fn case(id: &str) -> Event {
        Event::Case {
            result: CaseResult {
                id: id.into(),
                requirement: vec!["oci.x".into()],
                outcome: Outcome::Fail,
                ms: 3,
                detail: "line\nline".into(),
            },
            repeat: 0,
        }
    }

    fn open(path: &Path) -> (Writer, Journal) {
        Writer::open(path, || 42).unwrap()
    }

    #[test]
    fn what_was_appended_is_read_back_and_counting_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.ndjson");
        let (mut writer, journal) = open(&path);
        assert_eq!(journal, Journal::default());
        let first = writer.append(&cell(), 1, case("a.b")).unwrap();
        drop(writer);
        let (mut writer, journal) = open(&path);
        assert_eq!(journal.entries, std::slice::from_ref(&first));
        let second = writer.append(&cell(), 2, Event::Finished).unwrap();
        assert_eq!((first.seq, second.seq), (0, 1));
        let text = std::fs::read_to_string(&path).unwrap();
        insta::assert_snapshot!(text, @r#"
        {"seq":0,"at_ms":42,"cell":"debian-12/6.1/amd64/overlay/v2","attempt":1,"event":"case","id":"a.b","requirement":["oci.x"],"outcome":"fail","ms":3,"detail":"line\nline","repeat":0}
        {"seq":1,"at_ms":42,"cell":"debian-12/6.1/amd64/overlay/v2","attempt":2,"event":"finished"}
        "#);
    }

    #[test]
    fn a_journal_cut_at_any_byte_gives_its_whole_lines_and_can_be_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.ndjson");
        let (mut writer, _) = open(&path);
        let first = writer.append(&cell(), 1, case("a.b")).unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        writer.append(&cell(), 1, case("a.c")).unwrap();
        drop(writer);
        let whole = std::fs::read(&path).unwrap();
        for cut in usize::try_from(length).unwrap()..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut writer, journal) = open(&path);
            assert_eq!(
                journal.entries,
                std::slice::from_ref(&first),
                "cut at {cut}"
            );
            let next = writer.append(&cell(), 1, Event::Finished).unwrap();
            drop(writer);
            assert_eq!(open(&path).1.entries, [first.clone(), next], "cut at {cut}");
        }
    }

    #[test]
    fn a_changed_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.ndjson");
        let (mut writer, _) = open(&path);
        writer.append(&cell(), 1, case("a.b")).unwrap();
        drop(writer);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}nonsense\n{text}")).unwrap();
        let error = Writer::open(&path, || 0).unwrap_err();
        assert!(
            matches!(error, JournalError::Line { line: 2, .. }),
            "{error}"
        );
    }

    #[test]
    fn two_runs_cannot_write_one_journal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.ndjson");
        let (_writer, _) = open(&path);
        let error = Writer::open(&path, || 0).unwrap_err();
        assert!(matches!(error, JournalError::Busy { .. }), "{error}");
    }
}
