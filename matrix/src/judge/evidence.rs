//! What a journal says of one cell, whatever the order of its lines.

use std::collections::{BTreeMap, BTreeSet};

use crate::axis::Accelerator;
use crate::cell::CellId;
use crate::event::{Entry, Event, Missing};
use crate::outcome::{CaseResult, Outcome};

/// All events of a cell, joined: associative, commutative and idempotent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    pub(super) machine: Option<Machine>,
    pub(super) missing: BTreeSet<Missing>,
    pub(super) breakages: BTreeSet<Breakage>,
    pub(super) leftovers: BTreeSet<String>,
    pub(super) is_finished: bool,
    /// Of the machine that was the last, as far as is known.
    last_attempt: u32,
    observations: BTreeSet<Observation>,
}

/// The machine that answered; of several the last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Machine {
    attempt: u32,
    pub(super) kernel_release: String,
    pub(super) accelerator: Accelerator,
    pub(super) boot_ms: Option<u64>,
    pub(super) restored: bool,
}

/// How a machine failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Breakage {
    pub(super) attempt: u32,
    pub(super) kind: String,
    pub(super) detail: String,
}

/// What a case came to once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Observation {
    id: String,
    attempt: u32,
    repeat: u32,
    result: CaseResult,
}

impl Evidence {
    pub(super) fn of(cell: &CellId, journal: &[Entry]) -> Self {
        let mut evidence = Self::default();
        for entry in journal.iter().filter(|entry| entry.cell == *cell) {
            evidence.add(entry);
        }
        evidence
    }

    fn add(&mut self, entry: &Entry) {
        self.last_attempt = self.last_attempt.max(entry.attempt);
        match &entry.event {
            Event::Booted {
                boot_ms,
                accelerator,
                kernel_release,
                restored,
            } => {
                let machine = Machine {
                    attempt: entry.attempt,
                    kernel_release: kernel_release.clone(),
                    accelerator: *accelerator,
                    boot_ms: *boot_ms,
                    restored: *restored,
                };
                self.machine = self.machine.take().max(Some(machine));
            }
            Event::Checked { missing } => self.missing.extend(missing.iter().cloned()),
            Event::Case { result, repeat } => {
                self.observations.insert(Observation {
                    id: result.id.clone(),
                    attempt: entry.attempt,
                    repeat: *repeat,
                    result: result.clone(),
                });
            }
            Event::LeftBehind { names } => self.leftovers.extend(names.iter().cloned()),
            Event::Broken { kind, detail } => {
                self.breakages.insert(Breakage {
                    attempt: entry.attempt,
                    kind: kind.clone(),
                    detail: detail.clone(),
                });
            }
            Event::Finished => self.is_finished = true,
            Event::Started { .. } | Event::Interrupted => {}
        }
    }

    /// What each case came to, by id.
    pub(super) fn cases(&self) -> BTreeMap<String, CaseResult> {
        let mut cases: BTreeMap<String, CaseResult> = BTreeMap::new();
        for seen in &self.observations {
            let result = self.believed(seen);
            let joined = match cases.get(&seen.id) {
                Some(known) => join(known, &result),
                None => result,
            };
            cases.insert(seen.id.clone(), joined);
        }
        cases
    }

    /// The failures that don't count, by case and machine.
    pub(super) fn doubtful(&self) -> impl Iterator<Item = (&str, u32)> {
        (self.observations.iter())
            .filter(|seen| self.is_doubtful(seen))
            .map(|seen| (seen.id.as_str(), seen.attempt))
    }

    /// A failure counts when it was seen again, on whichever machine, or when the case ran once
    /// more on its own, or could have. One on a machine that ended before may have been the
    /// machine's.
    fn is_doubtful(&self, seen: &Observation) -> bool {
        let ran_again = || {
            (self.observations.iter())
                .filter(|o| o.id == seen.id && (o.attempt, o.repeat) != (seen.attempt, seen.repeat))
                .any(|other| match other.result.outcome {
                    Outcome::Fail => true,
                    Outcome::Pass | Outcome::Flaky => other.attempt == seen.attempt,
                    Outcome::Skip | Outcome::Broken => false,
                })
        };
        seen.result.outcome == Outcome::Fail && !self.ended_well(seen.attempt) && !ran_again()
    }

    /// Whether a machine did all that was asked of it: it did not break, and neither the user nor a
    /// killed harness cut it off, as then another follows or the cell is not finished.
    fn ended_well(&self, attempt: u32) -> bool {
        let broke = |breakage: &Breakage| breakage.attempt == attempt;
        self.is_finished && attempt == self.last_attempt && !self.breakages.iter().any(broke)
    }

    fn believed(&self, seen: &Observation) -> CaseResult {
        if !self.is_doubtful(seen) {
            return seen.result.clone();
        }
        CaseResult {
            outcome: Outcome::Broken,
            detail: format!(
                "failed on machine {}, which ended before the case could be run again: {}",
                seen.attempt, seen.result.detail
            ),
            ..seen.result.clone()
        }
    }
}

/// Joins two observations of a case. The outcomes join; time and words are those of the
/// observation that says most.
fn join(a: &CaseResult, b: &CaseResult) -> CaseResult {
    let weight = |case: &CaseResult| {
        let says = match case.outcome {
            Outcome::Fail => 4,
            Outcome::Flaky => 3,
            Outcome::Pass => 2,
            Outcome::Skip => 1,
            Outcome::Broken => 0,
        };
        (says, case.detail.clone(), case.ms, case.requirement.clone())
    };
    let shown = if weight(a) >= weight(b) { a } else { b };
    // What was joined before keeps the words of its failure: they outweigh those of a pass.
    let words = [a, b]
        .into_iter()
        .filter(|case| matches!(case.outcome, Outcome::Fail | Outcome::Flaky))
        .max_by_key(|case| (case.detail.clone(), case.ms, case.requirement.clone()))
        .unwrap_or(shown);
    CaseResult {
        outcome: a.outcome.join(b.outcome),
        ..words.clone()
    }
}
