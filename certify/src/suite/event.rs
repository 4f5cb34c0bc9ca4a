//! What a running suite tells, one JSON document a line.

use matrix::outcome::{CaseResult, Counts};
use matrix::results::EngineIdentity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One line of `seaworthy suite run --format json`.
///
/// A stream that doesn't end with [`Event::End`] was broken off: what is in it stands, and
/// nothing is known of the other cases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// The first line.
    Start {
        /// What is tested, to the byte.
        engine: EngineIdentity,
        /// How many cases will follow.
        cases: usize,
        /// The seed of their order; absent when they run as they are listed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
    },
    /// A case ended. Cases that run at the same time end in any order.
    Case(CaseResult),
    /// The last line.
    End {
        /// Cases by outcome.
        counts: Counts,
        /// Containers and mounts that the engine left behind and that had to be cleaned up.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        leftovers: Vec<String>,
        /// Whether the run was ended before every case was done.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        interrupted: bool,
    },
}

#[cfg(test)]
mod tests {
    use matrix::outcome::Outcome;

    use super::*;

    #[test]
    fn the_stream_has_its_promised_form() {
        let engine = EngineIdentity {
            name: "keel".into(),
            version: "0.1.0".into(),
            sha256: "ab".into(),
        };
        let case = CaseResult {
            id: "limits.pids".into(),
            requirement: vec!["engine.limits.pids".into()],
            outcome: Outcome::Skip,
            ms: 3,
            detail: "kernel.cgroup.pids".into(),
        };
        let counts = Counts {
            skip: 1,
            ..Counts::default()
        };
        let events = [
            Event::Start {
                engine,
                cases: 1,
                seed: None,
            },
            Event::Case(case),
            Event::End {
                counts,
                leftovers: Vec::new(),
                interrupted: false,
            },
        ];
        let lines: Vec<String> = events
            .iter()
            .map(|e| serde_json::to_string(e).unwrap())
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        {"event":"start","engine":{"name":"keel","version":"0.1.0","sha256":"ab"},"cases":1}
        {"event":"case","id":"limits.pids","requirement":["engine.limits.pids"],"outcome":"skip","ms":3,"detail":"kernel.cgroup.pids"}
        {"event":"end","counts":{"pass":0,"fail":0,"skip":1,"broken":0,"flaky":0}}
        "#);
        let read: Vec<Event> = lines
            .iter()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(read, events);
    }
}
