//! Keeps what a container says, wherever that is.

use std::io;
use std::path::Path;

use super::file::LogFile;
use super::lines::Lines;
use super::socket::Line;
use super::syslog::Style;
use super::{LogTarget, Stream, journald};

/// Keeps what a container says.
#[derive(Debug)]
pub(in crate::container) struct LogWriter {
    lines: Lines,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Nowhere,
    Files(LogFile),
    Syslog(Line, Style),
    Journald(Line, Vec<(String, String)>),
}

impl LogWriter {
    /// Opens the log, new or to be continued; `path` is that of its newest file, if it has files.
    pub(in crate::container) fn open(target: LogTarget, path: &Path) -> io::Result<Self> {
        let place = match target {
            LogTarget::None => Place::Nowhere,
            LogTarget::Files {
                max_bytes,
                files,
                attrs,
            } => Place::Files(LogFile::open(path, max_bytes, files, attrs)?),
            LogTarget::Syslog { address, style } => Place::Syslog(Line::to(address)?, style),
            LogTarget::Journald { address, fields } => Place::Journald(Line::to(address)?, fields),
        };
        Ok(Self {
            lines: Lines::default(),
            place,
        })
    }

    /// Takes output as it comes, and keeps the lines that are whole.
    ///
    /// # Errors
    /// Of files only: a full disk ends the log. Lines that a socket does not take are lost, and
    /// later ones may not be.
    pub(in crate::container) fn take(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        if matches!(self.place, Place::Nowhere) {
            return Ok(());
        }
        let lines = self.lines.take(stream, bytes);
        self.keep(stream, &lines)
    }

    /// Keeps what was begun and will not be continued.
    pub(in crate::container) fn finish(&mut self) -> io::Result<()> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = self.lines.rest(stream);
            if !rest.is_empty() {
                self.keep(stream, &[rest])?;
            }
        }
        Ok(())
    }

    fn keep(&mut self, stream: Stream, lines: &[Vec<u8>]) -> io::Result<()> {
        match &mut self.place {
            Place::Nowhere => Ok(()),
            Place::Files(file) => file.write(stream, lines),
            Place::Syslog(to, style) => {
                for line in lines {
                    drop(style.send(to, stream, line));
                }
                Ok(())
            }
            Place::Journald(to, fields) => {
                for line in lines {
                    drop(journald::send(to, fields, stream, line));
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::PathBuf;

    use super::super::LogReader;
    use super::*;

    fn log() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.ndjson");
        (folder, path)
    }

    fn writer(path: &Path, max_bytes: Option<u64>, files: u32) -> LogWriter {
        let attrs = BTreeMap::new();
        let target = LogTarget::Files {
            max_bytes,
            files,
            attrs,
        };
        LogWriter::open(target, path).unwrap()
    }

    fn all(reader: &mut LogReader) -> Vec<(Stream, String)> {
        std::iter::from_fn(|| reader.next_record().unwrap())
            .map(|record| (record.stream, record.log))
            .collect()
    }

    #[test]
    fn lines_are_kept_whole_however_they_come() {
        let (_folder, path) = log();
        let mut writer = writer(&path, None, 1);
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
        let mut writer = writer(&path, None, 1);
        let mut reader = LogReader::open(&path).unwrap();
        writer.take(Stream::Stdout, b"one\n").unwrap();
        assert_eq!(all(&mut reader).len(), 1);
        writer.take(Stream::Stdout, b"two\n").unwrap();
        assert_eq!(all(&mut reader), [(Stream::Stdout, "two\n".to_owned())]);
    }

    #[test]
    fn zeros_of_a_power_failure_hide_no_later_line() {
        let (_folder, path) = log();
        fs::write(&path, [0; 300]).unwrap();
        let mut writer = writer(&path, None, 1);
        writer
            .take(Stream::Stdout, b"lost with the zeros\n")
            .unwrap();
        writer.take(Stream::Stdout, b"kept\n").unwrap();
        let lines = all(&mut LogReader::open(&path).unwrap());
        assert_eq!(lines, [(Stream::Stdout, "kept\n".to_owned())]);
    }

    #[test]
    fn files_are_bounded_and_who_follows_misses_nothing() {
        let (folder, path) = log();
        let mut writer = writer(&path, Some(1000), 3);
        let mut follower = LogReader::open(&path).unwrap();
        let mut seen = Vec::new();
        for number in 0..200 {
            let line = format!("{number}\n");
            writer.take(Stream::Stdout, line.as_bytes()).unwrap();
            if number % 7 == 0 {
                seen.extend(all(&mut follower));
            }
        }
        seen.extend(all(&mut follower));
        let numbers = |lines: &[(Stream, String)]| -> Vec<u32> {
            let numbers = lines.iter().map(|(_, line)| line.trim().parse().unwrap());
            numbers.collect()
        };
        assert_eq!(numbers(&seen), (0..200).collect::<Vec<_>>());
        let files = fs::read_dir(folder.path()).unwrap();
        let sizes: Vec<u64> = files
            .map(|f| f.unwrap().metadata().unwrap().len())
            .collect();
        assert_eq!(sizes.len(), 3);
        assert!(sizes.iter().all(|&bytes| bytes < 1100), "{sizes:?}");
        // Whoever comes late sees the newest, without a gap.
        let kept = numbers(&all(&mut LogReader::open(&path).unwrap()));
        let first = *kept.first().unwrap();
        assert!(first > 100);
        assert_eq!(kept, (first..200).collect::<Vec<_>>());
    }

    #[test]
    fn one_file_begins_anew_when_it_is_full() {
        let (folder, path) = log();
        let mut writer = writer(&path, Some(300), 1);
        for _ in 0..100 {
            writer.take(Stream::Stdout, b"again\n").unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(fs::metadata(&path).unwrap().len() < 400);
    }
}
