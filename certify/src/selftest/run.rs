//! The self-test: every known fault against the case that must catch it.

use std::io;
use std::sync::Arc;

use matrix::outcome::{CaseResult, Outcome};
use matrix::results::{EngineIdentity, SELFTEST_SCHEMA, Selftest};

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
    /// This machine can't show it.
    NotHere {
        /// The fault.
        fault: &'static str,
        /// Why.
        why: String,
    },
    /// The harness or the machine failed: nothing is known.
    Broken {
        /// The fault.
        fault: &'static str,
        /// What was seen.
        why: String,
    },
    /// The engine without a fault.
    Honest {
        /// How many cases passed.
        passed: usize,
        /// The cases that failed nonetheless.
        failed: Vec<String>,
        /// The cases of which nothing is known, as the harness or the machine failed.
        broken: Vec<String>,
    },
}

/// Runs the cases that catch faults against the honest engine, then each against the engine
/// that it must catch. `tell` gets each finding as it is made.
pub fn run(
    honest: &Cli,
    workshop: Workshop,
    interrupt: &Interrupt,
    mut tell: impl FnMut(&Finding) -> io::Result<()>,
) -> Result<Vec<Finding>, SuiteError> {
    let catches = |case: &Case| FAULTS.iter().any(|fault| fault.caught_by == case.id);
    // One for all of them: the faults are outside of what it holds.
    let workshop = Arc::new(workshop);
    let results = results(honest.clone(), &workshop, catches, interrupt)?;
    let unproved = unproved(&results);
    let mut findings = vec![honesty(results)];
    findings
        .iter()
        .try_for_each(&mut tell)
        .map_err(SuiteError::Sink)?;
    for fault in FAULTS {
        if interrupt.is_set() {
            break;
        }
        let finding = if unproved.iter().any(|id| id == fault.caught_by) {
            Finding::NotHere {
                fault: fault.name,
                why: format!("`{}` fails without it too", fault.caught_by),
            }
        } else {
            test(honest, &workshop, fault, interrupt)?
        };
        tell(&finding).map_err(SuiteError::Sink)?;
        findings.push(finding);
    }
    workshop.close(honest);
    Ok(findings)
}

/// The cases that the engine without a fault fails, or of which nothing is known: with it they
/// catch nothing.
fn unproved(results: &[CaseResult]) -> Vec<String> {
    let unproved = results.iter().filter(|result| match result.outcome {
        Outcome::Fail | Outcome::Flaky | Outcome::Broken => true,
        Outcome::Pass | Outcome::Skip => false,
    });
    unproved.map(|result| result.id.clone()).collect()
}

/// What the engine without a fault came to.
fn honesty(results: Vec<CaseResult>) -> Finding {
    let (mut passed, mut failed, mut broken) = (0, Vec::new(), Vec::new());
    for result in results {
        match result.outcome {
            Outcome::Pass => passed += 1,
            Outcome::Skip => {}
            Outcome::Fail | Outcome::Flaky => failed.push(result.id),
            Outcome::Broken => broken.push(result.id),
        }
    }
    Finding::Honest {
        passed,
        failed,
        broken,
    }
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
            outcome: Outcome::Skip,
            detail,
            ..
        }) => Finding::NotHere {
            fault: name,
            why: detail,
        },
        Some(CaseResult {
            outcome: Outcome::Broken,
            detail,
            ..
        }) => Finding::Broken {
            fault: name,
            why: detail,
        },
        None => Finding::Broken {
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
/// known to be bad nor as missed, and an engine of which not all is known not as good.
pub fn report(findings: &[Finding], engine: EngineIdentity, harness_sha256: String) -> Selftest {
    let mut report = Selftest {
        schema: SELFTEST_SCHEMA.to_owned(),
        engine,
        harness_sha256,
        known_bad: 0,
        caught: 0,
        missed: Vec::new(),
        not_shown: Vec::new(),
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
            Finding::NotHere { fault, .. } | Finding::Broken { fault, .. } => {
                report.not_shown.push((*fault).to_owned());
            }
            Finding::Honest {
                passed,
                failed,
                broken,
            } => {
                let is_known = broken.is_empty() && passed + failed.len() > 0;
                report.good += usize::from(is_known);
                report.good_failed += usize::from(is_known && !failed.is_empty());
            }
        }
    }
    report
}

/// What the findings answer: whether the suites can tell a bad engine from an honest one.
///
/// # Errors
/// They don't say.
pub fn answer(findings: &[Finding], report: &Selftest) -> Result<bool, Unanswered> {
    let broken = |finding: &&Finding| match finding {
        Finding::Broken { .. } => true,
        Finding::Honest { broken, .. } => !broken.is_empty(),
        Finding::Caught { .. } | Finding::Missed { .. } | Finding::NotHere { .. } => false,
    };
    let broken = findings.iter().filter(broken).count();
    if broken > 0 {
        return Err(Unanswered::Broken(broken));
    }
    if report.good_failed > 0 {
        return Ok(false);
    }
    if report.known_bad == 0 || report.good == 0 {
        return Err(Unanswered::Nothing);
    }
    Ok(report.missed.is_empty())
}

/// Why a self-test says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The harness or the machine failed.
    #[error("of {0} engines nothing is known, as the harness or this machine failed")]
    Broken(usize),
    /// Everything was skipped.
    #[error(
        "nothing could be shown on this machine: run it as root, where containers have control groups"
    )]
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn honest(passed: usize, broken: &[&str]) -> Finding {
        Finding::Honest {
            passed,
            failed: Vec::new(),
            broken: broken.iter().map(|&id| id.to_owned()).collect(),
        }
    }

    const CAUGHT: Finding = Finding::Caught {
        fault: "a",
        case: "b",
    };

    fn reported(findings: &[Finding]) -> Selftest {
        let engine = EngineIdentity {
            name: "keel".into(),
            version: "0.1.0".into(),
            sha256: "5f".repeat(32),
        };
        report(findings, engine, "60".repeat(32))
    }

    fn answered(findings: &[Finding]) -> Result<bool, Unanswered> {
        answer(findings, &reported(findings))
    }

    #[test]
    fn what_cannot_be_shown_here_is_neither_caught_nor_missed() {
        let report = reported(&[
            honest(1, &[]),
            CAUGHT,
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
        assert_eq!(
            (report.missed, report.not_shown),
            (vec!["c".into()], vec!["e".into()])
        );
    }

    #[test]
    fn a_case_that_the_honest_engine_fails_too_catches_nothing() {
        let result = |id: &str, outcome| CaseResult {
            id: id.to_owned(),
            requirement: Vec::new(),
            outcome,
            ms: 1,
            detail: String::new(),
        };
        let results = [
            result("a.a", Outcome::Pass),
            result("a.b", Outcome::Fail),
            result("a.c", Outcome::Broken),
            result("a.d", Outcome::Skip),
        ];
        assert_eq!(unproved(&results), ["a.b", "a.c"]);
        assert_eq!(answered(&[honesty(results[..2].to_vec())]), Ok(false));
    }

    #[test]
    fn where_nothing_is_shown_there_is_no_answer() {
        let skipped = || Finding::NotHere {
            fault: "e",
            why: String::new(),
        };
        let broken = Finding::Broken {
            fault: "e",
            why: String::new(),
        };
        assert_eq!(answered(&[honest(1, &[]), CAUGHT, skipped()]), Ok(true));
        let nothing = Err(Unanswered::Nothing);
        assert_eq!(answered(&[honest(1, &[]), skipped()]), nothing);
        assert_eq!(answered(&[honest(0, &[]), CAUGHT]), nothing);
        assert_eq!(
            answered(&[honest(1, &[]), CAUGHT, broken]),
            Err(Unanswered::Broken(1))
        );
        assert_eq!(
            answered(&[honest(1, &["x.y"]), CAUGHT]),
            Err(Unanswered::Broken(1))
        );
    }
}
