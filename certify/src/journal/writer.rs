//! Appending to a journal.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use matrix::cell::CellId;
use matrix::event::{Entry, Event};
use nix::fcntl::{Flock, FlockArg};

use super::reader::{Journal, JournalError, read_open};

/// A journal that nobody else can append to meanwhile, and that may still be gone on with or begun
/// anew.
#[derive(Debug)]
pub struct Locked {
    path: PathBuf,
    file: Flock<File>,
}

/// A journal that is open for appending.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: Flock<File>,
    /// Where its last whole line ends, and the next one begins.
    end: u64,
    /// Whether something may stand behind that: an append did not come to its end.
    is_torn: bool,
    next_seq: u64,
    clock: fn() -> u64,
}

impl Locked {
    /// Locks the journal at `path`, which is made if it is not there.
    ///
    /// # Errors
    /// It can't be opened, or another process has it open.
    pub fn take(path: &Path) -> Result<Self, JournalError> {
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
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
            if errno == nix::errno::Errno::EWOULDBLOCK {
                JournalError::Busy {
                    path: path.to_owned(),
                }
            } else {
                error("locked", io::Error::from(errno))
            }
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Goes on with it, and gives what it holds. A torn last line is cut off. `clock` tells the
    /// milliseconds since 1970.
    ///
    /// # Errors
    /// It can't be read, or a whole line of it is no event.
    pub fn go_on(self, clock: fn() -> u64) -> Result<(Writer, Journal), JournalError> {
        let journal = read_open(&self.path, &self.file)?;
        let last = journal.entries.iter().map(|entry| entry.seq + 1).max();
        let writer = self.writer(journal.whole_bytes, last.unwrap_or(0), clock)?;
        Ok((writer, journal))
    }

    /// Forgets whatever it holds, journal or not: a new run begins.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn begin_anew(self, clock: fn() -> u64) -> Result<Writer, JournalError> {
        self.writer(0, 0, clock)
    }

    fn writer(self, end: u64, next_seq: u64, clock: fn() -> u64) -> Result<Writer, JournalError> {
        let mut writer = Writer {
            path: self.path,
            file: self.file,
            end,
            is_torn: true,
            next_seq,
            clock,
        };
        writer.cut()?;
        Ok(writer)
    }
}

impl Writer {
    /// Appends an event, and gives the line that stands in the journal. When this returns, an
    /// event that ends something (a case, a machine, a cell) is on the disk.
    ///
    /// # Errors
    /// The disk is full, or failed. The event then is not in the journal, but for a torn line at
    /// its end where that can't be cut off either.
    pub fn append(
        &mut self,
        cell: &CellId,
        attempt: u32,
        event: Event,
    ) -> Result<Entry, JournalError> {
        let entry = Entry {
            seq: self.next_seq,
            at_ms: (self.clock)(),
            cell: cell.clone(),
            attempt,
            event,
        };
        // Behind half a line this one would be no event.
        self.cut()?;
        self.is_torn = true;
        match self.write(&entry) {
            Ok(bytes) => {
                self.end += bytes;
                self.next_seq += 1;
                self.is_torn = false;
                Ok(entry)
            }
            Err(source) => {
                // Where this fails too, it is tried again before anything else is appended.
                let _still_torn = self.cut();
                Err(self.failed("appended to", source))
            }
        }
    }

    /// Writes the line at the journal's end; how long it is.
    fn write(&self, entry: &Entry) -> io::Result<u64> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.write_all_at(&line, self.end)?;
        if must_last(&entry.event) {
            self.file.sync_data()?;
        }
        Ok(line.len() as u64)
    }

    /// Cuts off what stands behind the last whole line.
    fn cut(&mut self) -> Result<(), JournalError> {
        if self.is_torn {
            self.file
                .set_len(self.end)
                .map_err(|source| self.failed("cut at its last whole line", source))?;
            self.is_torn = false;
        }
        Ok(())
    }

    fn failed(&self, verb: &'static str, source: io::Error) -> JournalError {
        JournalError::Io {
            path: self.path.clone(),
            verb,
            source,
        }
    }
}

/// Whether it ends something, and must be on the disk before anything else is done.
fn must_last(event: &Event) -> bool {
    match event {
        Event::Case { .. }
        | Event::LeftBehind { .. }
        | Event::Broken { .. }
        | Event::Finished
        | Event::Interrupted => true,
        Event::Started { .. } | Event::Booted { .. } | Event::Checked { .. } => false,
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
        Locked::take(path).unwrap().go_on(|| 42).unwrap()
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
        let error = Locked::take(&path).unwrap().go_on(|| 0).unwrap_err();
        assert!(
            matches!(error, JournalError::Line { line: 2, .. }),
            "{error}"
        );
        // A new run does not ask what the old one left.
        let mut writer = Locked::take(&path).unwrap().begin_anew(|| 42).unwrap();
        let first = writer.append(&cell(), 1, Event::Finished).unwrap();
        drop(writer);
        assert_eq!((first.seq, open(&path).1.entries), (0, vec![first]));
    }

    #[test]
    fn nothing_is_appended_behind_half_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.ndjson");
        let (mut writer, _) = open(&path);
        let first = writer.append(&cell(), 1, case("a.b")).unwrap();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let full = Flock::lock(full, FlockArg::LockShared).unwrap();
        let disk = std::mem::replace(&mut writer.file, full);
        let error = writer.append(&cell(), 1, case("a.c")).unwrap_err();
        assert!(
            matches!(
                error,
                JournalError::Io {
                    verb: "appended to",
                    ..
                }
            ),
            "{error}"
        );
        // What fitted, and then there is room again.
        disk.write_all_at(b"{\"seq\":1,\"at", writer.end).unwrap();
        writer.file = disk;
        let second = writer.append(&cell(), 2, Event::Finished).unwrap();
        assert_eq!(second.seq, 1);
        drop(writer);
        assert_eq!(open(&path).1.entries, [first, second]);
    }

    #[test]
    fn two_runs_cannot_write_one_journal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.ndjson");
        let (_writer, _) = open(&path);
        let error = Locked::take(&path).unwrap_err();
        assert!(matches!(error, JournalError::Busy { .. }), "{error}");
    }
}
