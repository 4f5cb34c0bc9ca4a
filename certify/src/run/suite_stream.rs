//! The suite runner's stream of events, read as it comes.

use matrix::outcome::CaseResult;
use serde::Deserialize;
use vm_images::agent::message::ExitStatus;

use crate::provision::Breakage;

/// No line of the stream is longer: a case's detail is what an engine printed.
const MAX_LINE: usize = 1 << 20;

/// How much of what the runner says besides is kept for when it fails.
const MAX_SAID: usize = 4 << 10;

/// One line of the stream, as far as a run cares.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Line {
    /// The runner has begun.
    Start {
        /// What it runs.
        engine: Tested,
    },
    /// A case ended.
    Case(CaseResult),
    /// All cases were told, unless the runner was told to stop.
    End {
        /// What the engine left behind.
        #[serde(default)]
        leftovers: Vec<String>,
        /// Whether it was.
        #[serde(default)]
        interrupted: bool,
    },
}

/// The engine that the runner found, to the byte.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Tested {
    /// Its name, with the fault that is built in.
    pub(super) name: String,
    /// SHA-256 of its binary, 64 hexadecimal digits.
    pub(super) sha256: String,
}

/// The stream as far as it has come.
#[derive(Debug, Default)]
pub(super) struct SuiteStream {
    partial: Vec<u8>,
    said: Vec<u8>,
    has_started: bool,
    has_ended: bool,
}

impl SuiteStream {
    /// The whole lines that `bytes` complete.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Vec<Line>, Breakage> {
        self.partial.extend_from_slice(bytes);
        let mut lines = Vec::new();
        let whole = self.partial.iter().rposition(|&byte| byte == b'\n');
        let rest = self.partial.split_off(whole.map_or(0, |at| at + 1));
        let complete = std::mem::replace(&mut self.partial, rest);
        for line in complete
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let line: Line = serde_json::from_slice(line).map_err(|error| {
                let text = String::from_utf8_lossy(line.get(..200).unwrap_or(line));
                Breakage::new("suite-stream", format!("`{text}` is no event: {error}"))
            })?;
            match line {
                Line::Start { .. } => self.has_started = true,
                Line::Case(_) if !self.has_started => {
                    let detail = "it tells of a case before it names the engine";
                    return Err(Breakage::new("suite-stream", detail));
                }
                Line::Case(_) => {}
                Line::End { interrupted, .. } => self.has_ended |= !interrupted,
            }
            lines.push(line);
        }
        if self.partial.len() > MAX_LINE {
            let detail = format!("an event of more than {MAX_LINE} bytes");
            return Err(Breakage::new("suite-stream", detail));
        }
        Ok(lines)
    }

    /// What the runner said besides.
    pub(super) fn said(&mut self, bytes: &[u8]) {
        self.said.extend_from_slice(bytes);
        let excess = self.said.len().saturating_sub(MAX_SAID);
        self.said.drain(..excess);
    }

    /// Whether all was told. The exit status alone says too little: a broken case is one too.
    pub(super) fn finish(self, status: Option<ExitStatus>) -> Result<(), Breakage> {
        if self.has_ended {
            return Ok(());
        }
        let status = status.map_or_else(|| "no exit status".to_owned(), |s| s.to_string());
        let said = String::from_utf8_lossy(&self.said);
        let detail = format!(
            "the suite ended before its last event ({status}): {}",
            said.trim()
        );
        Err(Breakage::new("suite-ended", detail))
    }
}

#[cfg(test)]
mod tests {
    use matrix::outcome::Outcome;
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = concat!(
        r#"{"event":"start","engine":{"name":"keel","version":"1","sha256":"ab"},"cases":1}"#,
        "\n",
        r#"{"event":"case","id":"limits.pids","requirement":["engine.limits.pids"],"outcome":"pass","ms":3,"detail":""}"#,
        "\n",
        r#"{"event":"end","counts":{"pass":1,"fail":0,"skip":0,"broken":0,"flaky":0}}"#,
        "\n",
    );

    #[test]
    fn a_stream_without_its_end_is_a_breakage_that_says_what_was_said() {
        let mut stream = SuiteStream::default();
        stream.take(&STREAM.as_bytes()[..120]).unwrap();
        stream.said(b"error: out of space\n");
        let breakage = stream.finish(Some(ExitStatus::Code(3))).unwrap_err();
        assert_eq!(breakage.kind, "suite-ended");
        assert!(
            breakage
                .detail
                .ends_with("(exit status 3): error: out of space")
        );
    }

    #[test]
    fn a_runner_that_was_told_to_stop_has_not_told_all() {
        let mut stream = SuiteStream::default();
        let end = br#"{"event":"end","counts":{},"interrupted":true}"#;
        stream.take(&[&end[..], b"\n"].concat()).unwrap();
        assert_eq!(stream.finish(None).unwrap_err().kind, "suite-ended");
    }

    #[test]
    fn a_case_of_an_engine_without_a_name_is_a_breakage() {
        let case = STREAM.lines().nth(1).unwrap().to_owned() + "\n";
        let breakage = SuiteStream::default().take(case.as_bytes()).unwrap_err();
        assert_eq!(breakage.kind, "suite-stream");
    }

    #[test]
    fn what_is_no_event_is_a_breakage() {
        let breakage = SuiteStream::default().take(b"hello\n").unwrap_err();
        assert_eq!(breakage.kind, "suite-stream");
        let endless = vec![b'x'; MAX_LINE + 1];
        assert!(SuiteStream::default().take(&endless).is_err());
    }

    proptest! {
        #[test]
        fn however_the_stream_is_cut_the_same_events_come(cuts in prop::collection::vec(1usize..40, 1..40)) {
            let mut stream = SuiteStream::default();
            let mut lines = Vec::new();
            let mut rest = STREAM.as_bytes();
            for cut in cuts.into_iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at(cut.min(rest.len()));
                lines.extend(stream.take(now).unwrap());
                rest = later;
            }
            prop_assert_eq!(lines.len(), 3);
            prop_assert!(matches!(&lines[1], Line::Case(case) if case.outcome == Outcome::Pass));
            prop_assert!(stream.finish(None).is_ok());
        }
    }
}
