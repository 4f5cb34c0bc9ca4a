//! The verdict of one cell, and the reasons for it.

use super::evidence::Evidence;
use super::{Trial, suite_of};
use crate::cell::Cell;
use crate::outcome::{CaseResult, Outcome};
use crate::policy::Lenience;
use crate::verdict::Verdict;

/// A reason names no more of what an engine left behind.
const SHOWN_LEFTOVERS: usize = 5;

/// The cases that decide, by what they mean to the policy.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    waived: Vec<String>,
    failed: Vec<String>,
    tolerated: Vec<String>,
    unknown: usize,
    expected: usize,
}

pub(super) fn verdict(
    trial: &Trial<'_>,
    cell: &Cell,
    evidence: &Evidence,
    cases: &[CaseResult],
) -> (Verdict, Vec<String>) {
    if !evidence.missing.is_empty() {
        let remedies = (evidence.missing.iter())
            .map(|missing| format!("`{}` is absent: {}", missing.requirement, missing.remedy))
            .collect();
        return (Verdict::Unsupported, remedies);
    }
    let tally = Tally::of(trial, cell, cases);
    let mut reasons = tally.failed.clone();
    reasons.extend(tally.waived.iter().cloned());
    reasons.extend(tally.tolerated.iter().cloned());
    reasons.extend(doubted(evidence, cases));
    reasons.extend(left_behind(evidence));
    let broken = broken_machines(evidence);
    let conclusive = tally.passed + tally.waived.len() + tally.failed.len();
    #[expect(
        clippy::cast_precision_loss,
        reason = "there are fewer than 2^52 cases"
    )]
    let share = (tally.passed + tally.waived.len()) as f64 / conclusive.max(1) as f64;
    if conclusive > 0 && share < trial.policy.min_pass_share {
        reasons.extend(broken);
        return (Verdict::NotCertified, reasons);
    }
    let gaps = gaps(trial, cell, evidence, cases, &tally);
    if !gaps.is_empty() {
        return (Verdict::NotTested, [broken, gaps, reasons].concat());
    }
    // A machine that died under an engine that then passed on another is told all the same.
    reasons.extend(broken);
    let verdict = if tally.waived.is_empty() {
        Verdict::Certified
    } else {
        Verdict::CertifiedWithWaivers
    };
    (verdict, reasons)
}

/// Failures that were laid to a machine, and were none on another.
fn doubted(evidence: &Evidence, cases: &[CaseResult]) -> Vec<String> {
    let elsewhere = |id: &str| {
        let outcome = cases.iter().find(|case| case.id == id)?.outcome;
        (!matches!(outcome, Outcome::Fail | Outcome::Broken)).then_some(outcome)
    };
    (evidence.doubtful())
        .filter_map(|(id, machine)| Some((id, machine, elsewhere(id)?)))
        .map(|(id, machine, outcome)| {
            format!(
                "case `{id}` failed on machine {machine}, which ended before it could run again; on another: {outcome}"
            )
        })
        .collect()
}

/// What the engine left behind is told; a case that is about it fails by itself.
fn left_behind(evidence: &Evidence) -> Option<String> {
    let names: Vec<&str> = evidence.leftovers.iter().map(String::as_str).collect();
    let (shown, more) = names.split_at(names.len().min(SHOWN_LEFTOVERS));
    let more = match more.len() {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    (!shown.is_empty()).then(|| format!("left behind by the engine: {}{more}", shown.join(", ")))
}

fn broken_machines(evidence: &Evidence) -> Vec<String> {
    let told = evidence.breakages.iter().map(|broken| {
        format!(
            "machine {} failed ({}): {}",
            broken.attempt, broken.kind, broken.detail
        )
    });
    told.collect()
}

/// Why nothing can be said of the whole cell, if so.
fn gaps(
    trial: &Trial<'_>,
    cell: &Cell,
    evidence: &Evidence,
    cases: &[CaseResult],
    tally: &Tally,
) -> Vec<String> {
    if cases.is_empty() {
        let never = evidence.breakages.is_empty();
        return vec![
            if never {
                "never ran"
            } else {
                "no machine got as far as a case"
            }
            .to_owned(),
        ];
    }
    let mut gaps = Vec::new();
    if tally.unknown > 0 {
        let ended = if evidence.is_finished {
            ""
        } else {
            " (the run was ended before)"
        };
        gaps.push(format!(
            "{} of {} cases have no outcome{ended}",
            tally.unknown, tally.expected
        ));
    } else if !evidence.is_finished {
        gaps.push("the run was ended before the cell was done".to_owned());
    }
    gaps.extend(
        (trial.policy.suites.iter())
            .filter(|suite| {
                !cell.suites.contains(suite) || !cases.iter().any(|c| suite_of(&c.id) == *suite)
            })
            .map(|suite| {
                format!(
                    "suite `{suite}`, which policy `{}` demands, did not run",
                    trial.policy.name
                )
            }),
    );
    if tally.passed + tally.waived.len() == 0 && gaps.is_empty() {
        gaps.push("no case applied: all were skipped".to_owned());
    }
    gaps
}

impl Tally {
    fn of(trial: &Trial<'_>, cell: &Cell, cases: &[CaseResult]) -> Self {
        let mut tally = Self::default();
        for case in cases {
            if !trial.policy.demands_suite(suite_of(&case.id)) {
                continue;
            }
            tally.expected += 1;
            match case.outcome {
                Outcome::Pass => tally.passed += 1,
                Outcome::Broken => tally.unknown += 1,
                Outcome::Skip => {
                    let requirement = absent_requirement(&case.detail);
                    if !trial.policy.allows_skip(requirement) {
                        tally.failed.push(format!(
                            "case `{}` was skipped for want of `{requirement}`, which policy `{}` does not allow",
                            case.id, trial.policy.name
                        ));
                    }
                }
                Outcome::Flaky if trial.policy.flaky == Lenience::Tolerate => {
                    tally.tolerated.push(format!(
                        "case `{}` passed and failed, which policy `{}` tolerates",
                        case.id, trial.policy.name
                    ));
                }
                Outcome::Flaky | Outcome::Fail => tally.failure(trial, cell, case),
            }
        }
        tally
    }

    fn failure(&mut self, trial: &Trial<'_>, cell: &Cell, case: &CaseResult) {
        let how = match case.outcome {
            Outcome::Flaky => "passed and failed",
            Outcome::Pass | Outcome::Skip | Outcome::Fail | Outcome::Broken => "failed",
        };
        let detail = match first_line(&case.detail) {
            "" => String::new(),
            line => format!(": {line}"),
        };
        let covering = || (trial.policy.waivers.iter()).filter(|w| w.covers(&case.id, cell));
        if let Some(waiver) = covering().find(|waiver| !waiver.is_expired(trial.today)) {
            self.waived.push(format!(
                "case `{}` {how}, waived until {} by {} ({}: {})",
                case.id, waiver.expires, waiver.owner, waiver.clause, waiver.reason
            ));
        } else if let Some(waiver) = covering().next() {
            self.failed.push(format!(
                "case `{}` {how}, and its waiver by {} expired on {}{detail}",
                case.id, waiver.owner, waiver.expires
            ));
        } else {
            self.failed
                .push(format!("case `{}` {how}{detail}", case.id));
        }
    }
}

/// The requirement that a skipped case names as the first word of its detail.
fn absent_requirement(detail: &str) -> &str {
    let end = detail
        .find(|c: char| c.is_whitespace() || c == ':' || c == ',')
        .unwrap_or(detail.len());
    detail.get(..end).unwrap_or(detail)
}

fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    let end = line
        .char_indices()
        .nth(300)
        .map_or(line.len(), |(at, _)| at);
    line.get(..end).unwrap_or(line)
}
