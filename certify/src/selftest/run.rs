//! The self-test: every known fault against the case that must catch it.

use std::io;
use std::sync::Arc;

use matrix::outcome::{CaseResult, Outcome};
use matrix::results::Selftest;

use super::{FAULTS, Fault};
use crate::adapter::Cli;
use crate::suite::{self, Case, Event, Interrupt, Plan, SuiteError, Workshop};

/// What came of one engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The case failed, as it must.
    Caught {
        /// The fault.
        fault: &'static str,
        /// The case.
        case: &'static str,
    },
    /// The case passed: the suite can't tell this engine from an honest one.
    Missed {
        /// The fault.
        fault: &'static str,
        /// The case.
        case: &'static str,
    },
    /// The case can't be shown on this machine, or the machine failed.
    NotHere {
        /// The fault.
        fault: &'static str,
        /// Why.
        why: String,
    },
    /// The engine without a fault.
    Honest {
        /// The cases that failed nonetheless.
        failed: Vec<String>,
    },
}

/// Runs the cases that catch faults against the honest engine, then each against the engine
/// that it must catch. `tell` gets each finding as it is made.
pub fn run(
    honest: &Cli,
    interrupt: &Interrupt,
    mut tell: impl FnMut(&Finding) -> io::Result<()>,
) -> Result<Vec<Finding>, SuiteError> {
    let catches = |case: &Case| FAULTS.iter().any(|fault| fault.caught_by == case.id);
    // One for all of them: the faults are outside of what it holds.
    let workshop = Arc::new(Workshop::new().map_err(SuiteError::Workshop)?);
    let results = results(honest.clone(), &workshop, catches, interrupt)?;
    let failed = results
        .into_iter()
        .filter(|result| matches!(result.outcome, Outcome::Fail | Outcome::Flaky))
        .map(|result| result.id)
        .collect();
    let mut findings = vec![Finding::Honest { failed }];
    findings
        .iter()
        .try_for_each(&mut tell)
        .map_err(SuiteError::Sink)?;
    for fault in FAULTS {
        if interrupt.is_set() {
            break;
        }
        let finding = test(honest, &workshop, fault, interrupt)?;
        tell(&finding).map_err(SuiteError::Sink)?;
        findings.push(finding);
    }
    workshop.close(honest);
    Ok(findings)
}

/// The fault against the one case that must catch it.
fn test(
    honest: &Cli,
    workshop: &Arc<Workshop>,
    fault: &'static Fault,
    interrupt: &Interrupt,
) -> Result<Finding, SuiteError> {
    let (name, case) = (fault.name, fault.caught_by);
    let mut results = results(
        honest.with_fault(fault),
        workshop,
        |each| each.id == case,
        interrupt,
    )?;
    Ok(match results.pop() {
        Some(CaseResult {
            outcome: Outcome::Fail | Outcome::Flaky,
            ..
        }) => Finding::Caught { fault: name, case },
        Some(CaseResult {
            outcome: Outcome::Pass,
            ..
        }) => Finding::Missed { fault: name, case },
        Some(CaseResult {
            outcome: Outcome::Skip | Outcome::Broken,
            detail,
            ..
        }) => Finding::NotHere {
            fault: name,
            why: detail,
        },
        None => Finding::NotHere {
            fault: name,
            why: "interrupted".to_owned(),
        },
    })
}

/// The results of some cases against one engine.
fn results(
    cli: Cli,
    workshop: &Arc<Workshop>,
    wanted: impl Fn(&Case) -> bool,
    interrupt: &Interrupt,
) -> Result<Vec<CaseResult>, SuiteError> {
    let plan = Plan {
        cli,
        workshop: Arc::clone(workshop),
        cases: suite::catalogue().into_iter().filter(wanted).collect(),
        jobs: std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
        seed: None,
        retries: 0,
        interrupt: interrupt.clone(),
    };
    let mut results = Vec::new();
    suite::run(plan, |event| {
        if let Event::Case(result) = event {
            results.push(result.clone());
        }
        Ok(())
    })?;
    Ok(results)
}

/// The findings as a certificate holds them. What could not be shown here counts neither as
/// known to be bad nor as missed.
pub fn report(findings: &[Finding]) -> Selftest {
    let mut report = Selftest {
        schema: "seaworthy.selftest/1".to_owned(),
        known_bad: 0,
        caught: 0,
        missed: Vec::new(),
        good: 0,
        good_failed: 0,
    };
    for finding in findings {
        match finding {
            Finding::Caught { .. } => {
                report.known_bad += 1;
                report.caught += 1;
            }
            Finding::Missed { fault, .. } => {
                report.known_bad += 1;
                report.missed.push((*fault).to_owned());
            }
            Finding::NotHere { .. } => {}
            Finding::Honest { failed } => {
                report.good += 1;
                report.good_failed += usize::from(!failed.is_empty());
            }
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_shown_here_is_neither_caught_nor_missed() {
        let report = report(&[
            Finding::Honest { failed: Vec::new() },
            Finding::Caught {
                fault: "a",
                case: "b",
            },
            Finding::Missed {
                fault: "c",
                case: "d",
            },
            Finding::NotHere {
                fault: "e",
                why: String::new(),
            },
        ]);
        assert_eq!(
            (
                report.known_bad,
                report.caught,
                report.good,
                report.good_failed
            ),
            (2, 1, 1, 0)
        );
        assert_eq!(report.missed, ["c"]);
    }
}
