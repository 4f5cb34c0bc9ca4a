//! What happened to containers and images: a journal that grows by a line for each event, in
//! Docker's JSON, and a reader that can wait for more.
//!
//! An event is one write at the end of `ROOT/events.ndjson` and is not waited for until it is on the
//! disk: see decision 0086. When the file is full it becomes `events.ndjson.1`, whose predecessor
//! goes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde::{Deserialize, Serialize};

const NAME: &str = "events.ndjson";
const OLD_NAME: &str = "events.ndjson.1";
/// Both files together hold some ten thousand events at least.
const MOST_BYTES: u64 = 4 << 20;
/// The longest line: labels are the user's.
const MAX_LINE: u64 = 1 << 20;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A container.
    Container,
    /// An image.
    Image,
}

impl Kind {
    /// Docker's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
        }
    }
}

/// One event, as Docker's JSON has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The action, for clients of the first API.
    pub status: String,
    /// Whom it is about, for the same.
    pub id: String,
    /// The image of a container, for the same.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// What it is about.
    #[serde(rename = "Type")]
    pub kind: Kind,
    /// What happened: `start`, `die`, `exec_create: sh`, `health_status: healthy`.
    #[serde(rename = "Action")]
    pub action: String,
    /// Whom it is about.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// Always `local`.
    pub scope: String,
    /// Seconds since 1970.
    pub time: i64,
    /// The same in nanoseconds.
    #[serde(rename = "timeNano")]
    pub time_nano: i128,
}

/// Whom an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name, labels, and what belongs to the event, such as `exitCode`.
    #[serde(rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}

impl Event {
    /// One that happens now.
    pub fn now(
        kind: Kind,
        action: impl Into<String>,
        id: impl Into<String>,
        attributes: BTreeMap<String, String>,
    ) -> Self {
        let (action, id) = (action.into(), id.into());
        let now = Timestamp::now();
        Self {
            status: action.clone(),
            id: id.clone(),
            from: attributes.get("image").cloned().unwrap_or_default(),
            kind,
            action,
            actor: Actor { id, attributes },
            scope: "local".to_owned(),
            time: now.as_second(),
            time_nano: now.as_nanosecond(),
        }
    }
}

/// The journal below a root folder.
#[derive(Debug, Clone)]
pub struct Journal {
    root: PathBuf,
}

impl Journal {
    /// That of this root folder.
    pub fn of(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Adds an event. That it cannot be written fails nothing: the event has happened all the same.
    pub fn record(&self, event: &Event) {
        drop(self.try_record(event));
    }

    fn try_record(&self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let path = self.root.join(NAME);
        let mut file = File::options()
            .create(true)
            .append(true)
            .read(true)
            .mode(0o600)
            .open(&path)?;
        // One write, so that lines of several processes never mix.
        file.write_all(&line)?;
        if file.metadata()?.len() > MOST_BYTES {
            self.turn_over(file)?;
        }
        Ok(())
    }

    /// Begins a new file, unless somebody else just has.
    fn turn_over(&self, file: File) -> io::Result<()> {
        let path = self.root.join(NAME);
        let Ok(file) = Flock::lock(file, FlockArg::LockExclusive) else {
            return Ok(());
        };
        let (ours, current) = (file.metadata()?, fs::metadata(&path)?);
        if (ours.dev(), ours.ino()) == (current.dev(), current.ino()) {
            fs::rename(&path, self.root.join(OLD_NAME))?;
        }
        Ok(())
    }

    /// Reads the journal from its beginning.
    ///
    /// # Errors
    /// Those of opening.
    pub fn read(&self) -> io::Result<Reader> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        inotify.add_watch(
            &self.root,
            AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE,
        )?;
        Ok(Reader {
            root: self.root.clone(),
            old: open(&self.root.join(OLD_NAME))?,
            current: open(&self.root.join(NAME))?,
            inotify,
        })
    }
}

fn open(path: &Path) -> io::Result<Option<Lines>> {
    match File::open(path) {
        Ok(file) => Ok(Some(Lines {
            file: BufReader::new(file),
            begun: Vec::new(),
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads the journal, and goes on where it stopped.
#[derive(Debug)]
pub struct Reader {
    root: PathBuf,
    old: Option<Lines>,
    current: Option<Lines>,
    inotify: Inotify,
}

/// The lines of a file.
#[derive(Debug)]
struct Lines {
    file: BufReader<File>,
    /// The part of a line that is there already.
    begun: Vec<u8>,
}

impl Lines {
    /// The next event. What is none (a machine that lost its power leaves half a line, or zeros) is
    /// left out.
    fn next_event(&mut self) -> io::Result<Option<Event>> {
        loop {
            let room = MAX_LINE.saturating_sub(self.begun.len() as u64);
            let mut limited = io::Read::take(&mut self.file, room);
            limited.read_until(b'\n', &mut self.begun)?;
            if !self.begun.ends_with(b"\n") && (self.begun.len() as u64) < MAX_LINE {
                return Ok(None);
            }
            let line = std::mem::take(&mut self.begun);
            if let Ok(event) = serde_json::from_slice(&line) {
                return Ok(Some(event));
            }
        }
    }
}

impl Reader {
    /// The next event, or `None` when there is none yet.
    ///
    /// # Errors
    /// Those of reading.
    pub fn next_event(&mut self) -> io::Result<Option<Event>> {
        loop {
            if let Some(old) = &mut self.old {
                if let Some(event) = old.next_event()? {
                    return Ok(Some(event));
                }
                self.old = None;
            }
            let Some(current) = &mut self.current else {
                self.current = open(&self.root.join(NAME))?;
                if self.current.is_none() {
                    return Ok(None);
                }
                continue;
            };
            if let Some(event) = current.next_event()? {
                return Ok(Some(event));
            }
            if !self.was_turned_over()? {
                return Ok(None);
            }
            // What was written to it before it was full comes first.
            self.old = self.current.take();
        }
    }

    fn was_turned_over(&self) -> io::Result<bool> {
        let Some(current) = &self.current else {
            return Ok(false);
        };
        let ours = current.file.get_ref().metadata()?;
        match fs::metadata(self.root.join(NAME)) {
            Ok(there) => Ok((ours.dev(), ours.ino()) != (there.dev(), there.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until there may be more, or this moment has come.
    pub fn wait(&self, until: Option<Timestamp>) {
        let timeout = until.map_or(PollTimeout::NONE, |until| {
            let left = until.duration_since(Timestamp::now());
            let left = std::time::Duration::try_from(left).unwrap_or_default();
            PollTimeout::try_from(left + std::time::Duration::from_millis(1))
                .unwrap_or(PollTimeout::MAX)
        });
        let mut polled = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut polled, timeout);
        drop(self.inotify.read_events());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str) -> Event {
        Event::now(Kind::Container, action, "ab", BTreeMap::new())
    }

    fn actions(reader: &mut Reader) -> Vec<String> {
        std::iter::from_fn(|| reader.next_event().unwrap())
            .map(|event| event.action)
            .collect()
    }

    #[test]
    fn events_are_dockers_json_a_line() {
        let attributes = BTreeMap::from([("image".to_owned(), "small".to_owned())]);
        let mut event = Event::now(Kind::Container, "die", "ab", attributes);
        (event.time, event.time_nano) = (1, 1_000_000_002);
        insta::assert_snapshot!(serde_json::to_string(&event).unwrap(), @r#"{"status":"die","id":"ab","from":"small","Type":"container","Action":"die","Actor":{"ID":"ab","Attributes":{"image":"small"}},"scope":"local","time":1,"timeNano":1000000002}"#);
    }

    #[test]
    fn a_reader_goes_on_where_it_stopped_and_steps_over_what_is_torn() {
        let root = tempfile::tempdir().unwrap();
        let journal = Journal::of(root.path());
        let mut reader = journal.read().unwrap();
        assert_eq!(reader.next_event().unwrap(), None);
        journal.record(&event("create"));
        assert_eq!(actions(&mut reader), ["create"]);
        let path = root.path().join(NAME);
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"half\": \0\0\0\n").unwrap();
        journal.record(&event("start"));
        assert_eq!(actions(&mut reader), ["start"]);
        reader.wait(Some(Timestamp::now()));
    }

    #[test]
    fn the_journal_is_bounded_and_loses_nothing_for_who_reads_along() {
        let root = tempfile::tempdir().unwrap();
        let journal = Journal::of(root.path());
        let mut reader = journal.read().unwrap();
        let filler = "x".repeat(200_000);
        let mut seen = 0;
        for _ in 0..60 {
            journal.record(&event(&filler));
            seen += actions(&mut reader).len();
        }
        assert_eq!(seen, 60);
        let bytes = |name| fs::metadata(root.path().join(name)).unwrap().len();
        let most = MOST_BYTES + MAX_LINE;
        assert!(bytes(NAME) <= most && bytes(OLD_NAME) <= most);
        // Both files are read, the older first.
        let mut late = journal.read().unwrap();
        let kept = actions(&mut late).len();
        assert!((10..60).contains(&kept), "{kept}");
    }
}
