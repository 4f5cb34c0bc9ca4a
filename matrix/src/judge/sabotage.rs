//! The verdict of a cell whose engine has a known fault: it tells of the suites, and never of
//! the engine. So nothing is certified, whatever passes and whatever the policy lives with.

use crate::outcome::{CaseResult, Outcome};
use crate::sabotage::Sabotage;
use crate::verdict::Verdict;

/// What `verdict` becomes when `sabotage` was at work.
pub(super) fn verdict(
    sabotage: &Sabotage,
    cases: &[CaseResult],
    verdict: Verdict,
    mut reasons: Vec<String>,
) -> (Verdict, Vec<String>) {
    let Sabotage { fault, caught_by } = sabotage;
    if verdict == Verdict::Unsupported {
        return (verdict, reasons);
    }
    let catcher = cases.iter().find(|case| case.id == *caught_by);
    let (verdict, found) = match catcher.map(|case| case.outcome) {
        Some(Outcome::Fail | Outcome::Flaky) => (
            Verdict::NotCertified,
            format!("known fault `{fault}` was caught by `{caught_by}`"),
        ),
        // A fault that its case did not catch leaves no verdict, whatever else failed: a bad one
        // would look as if the suites had done their work.
        Some(Outcome::Pass) => (
            Verdict::NotTested,
            format!("known fault `{fault}` was NOT caught: `{caught_by}` passed"),
        ),
        Some(Outcome::Skip | Outcome::Broken) | None => (
            Verdict::NotTested,
            format!("known fault `{fault}` was not put to the test: `{caught_by}` did not run"),
        ),
    };
    reasons.insert(0, found);
    (verdict, reasons)
}

/// What stands above everything else that the run says.
pub(super) fn warning(sabotage: &Sabotage) -> String {
    format!(
        "known fault `{}` was built into the engine: this run tests the suites, and says nothing of the engine",
        sabotage.fault
    )
}
