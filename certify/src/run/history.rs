//! What a journal says has been done in a cell, so that it is not done again.

use std::collections::{BTreeMap, BTreeSet};

use matrix::cell::CellId;
use matrix::event::{Entry, Event};
use matrix::outcome::Outcome;

/// A cell as far as it has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct History {
    /// Nothing is left to do.
    pub(super) is_finished: bool,
    /// How many machines were made for it.
    pub(super) attempts: u32,
    /// How many of them broke.
    pub(super) breakages: u32,
    outcomes: BTreeMap<String, Outcome>,
    repeated: BTreeSet<String>,
}

impl History {
    pub(super) fn of(cell: &CellId, journal: &[Entry]) -> Self {
        let mut history = Self::default();
        for entry in journal.iter().filter(|entry| entry.cell == *cell) {
            history.add(entry);
        }
        history
    }

    pub(super) fn add(&mut self, entry: &Entry) {
        self.attempts = self.attempts.max(entry.attempt);
        match &entry.event {
            Event::Case { result, repeat } => {
                // A repetition that broke has shown nothing; a next machine may.
                if *repeat > 0 && result.outcome != Outcome::Broken {
                    self.repeated.insert(result.id.clone());
                }
                self.outcomes
                    .entry(result.id.clone())
                    .and_modify(|outcome| *outcome = outcome.join(result.outcome))
                    .or_insert(result.outcome);
            }
            Event::Broken { .. } => self.breakages += 1,
            Event::Finished => self.is_finished = true,
            Event::Started { .. }
            | Event::Booted { .. }
            | Event::Checked { .. }
            | Event::LeftBehind { .. }
            | Event::Interrupted => {}
        }
    }

    /// Which of `expected` have no outcome yet.
    pub(super) fn remaining(&self, expected: &[String]) -> Vec<String> {
        expected
            .iter()
            .filter(|id| !self.outcomes.contains_key(*id))
            .cloned()
            .collect()
    }

    /// Which cases failed or broke and were not yet run a second time.
    pub(super) fn to_repeat(&self) -> Vec<String> {
        self.outcomes
            .iter()
            .filter(|(id, outcome)| {
                matches!(outcome, Outcome::Fail | Outcome::Broken) && !self.repeated.contains(*id)
            })
            .map(|(id, _)| id.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use matrix::axis::TargetKind;
    use matrix::outcome::CaseResult;

    use super::*;

    fn history(events: &[(u32, Event)]) -> History {
        let cell: CellId = "debian-12/6.1/amd64/vfs/v2".parse().unwrap();
        let entries: Vec<Entry> = events
            .iter()
            .zip(0..)
            .map(|((attempt, event), seq)| Entry {
                seq,
                at_ms: 0,
                cell: cell.clone(),
                attempt: *attempt,
                event: event.clone(),
            })
            .collect();
        History::of(&cell, &entries)
    }

    fn case(id: &str, outcome: Outcome, repeat: u32) -> Event {
        let result = CaseResult {
            id: id.into(),
            requirement: Vec::new(),
            outcome,
            ms: 0,
            detail: String::new(),
        };
        Event::Case { result, repeat }
    }

    #[test]
    fn only_cases_without_an_outcome_remain() {
        let expected = ["a.a", "a.b", "a.c"].map(str::to_owned);
        let history = history(&[
            (
                1,
                Event::Started {
                    target: TargetKind::Host,
                },
            ),
            (1, case("a.a", Outcome::Pass, 0)),
            (2, case("a.c", Outcome::Skip, 0)),
        ]);
        assert_eq!(history.remaining(&expected), ["a.b"]);
        assert_eq!((history.attempts, history.is_finished), (2, false));
    }

    #[test]
    fn a_failure_is_repeated_once() {
        let first = [
            (1, case("a.a", Outcome::Fail, 0)),
            (1, case("a.b", Outcome::Pass, 0)),
        ];
        assert_eq!(history(&first).to_repeat(), ["a.a"]);
        let again = [first[0].clone(), (1, case("a.a", Outcome::Fail, 1))];
        assert_eq!(history(&again).to_repeat(), [""; 0]);
        let passed = [first[0].clone(), (1, case("a.a", Outcome::Pass, 1))];
        assert_eq!(history(&passed).to_repeat(), [""; 0]);
    }
}
