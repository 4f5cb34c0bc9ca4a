//! What the terminal shows when a run is over.

use std::fmt::Write as _;

use matrix::outcome::{CaseResult, Outcome};
use matrix::results::CellResult;
use matrix::verdict::Verdict;

use super::{Report, by_cause, duration, headline, names};

/// Whether the text may carry ANSI colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// For a terminal.
    Yes,
    /// For anything else.
    No,
}

impl From<bool> for Colour {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// A table of the cells with the reasons of those that are not certified, and the headline.
pub fn summary(report: &Report, colour: Colour) -> String {
    let results = &report.results;
    let width = results
        .cells
        .iter()
        .map(|cell| cell.id.as_str().len())
        .max()
        .unwrap_or(4);
    let mut out = String::new();
    for cells in report.by_reason() {
        for cell in cells {
            // Writing into a String cannot fail.
            let _ = writeln!(
                out,
                "{}  {:<width$}  {:>3} pass {:>2} fail {:>2} flaky {:>2} skip {:>2} broken  {}",
                paint(cell.verdict, &format!("{:<22}", cell.verdict), colour),
                cell.id,
                cell.cases.pass,
                cell.cases.fail,
                cell.cases.flaky,
                cell.cases.skip,
                cell.cases.broken,
                (report.took(cell)).map_or_else(
                    || "not run".to_owned(),
                    |took| { format!("in {took} ({})", cell.accelerator) }
                ),
            );
        }
        let Some(cell) = cells.last() else { continue };
        for reason in &cell.reasons {
            let _ = writeln!(out, "    {}", reason.replace('\n', "\n    "));
        }
        let is_bad = |case: &&CaseResult| {
            matches!(
                case.outcome,
                Outcome::Fail | Outcome::Flaky | Outcome::Broken
            )
        };
        for group in by_cause(cell.case_results.iter().filter(is_bad)) {
            if let Some(first) = group.first().filter(|first| !is_told(cell, first)) {
                let detail = first.detail.replace('\n', "\n        ");
                let _ = writeln!(out, "    {} {}: {detail}", first.outcome, names(&group, ""));
            }
        }
    }
    let _ = writeln!(
        out,
        "\n{} {}: {}\n{}; in {}.",
        results.engine.name,
        results.engine.version,
        paint(results.verdict, results.verdict.name(), colour),
        headline(results),
        duration(report.about.took_ms),
    );
    for reason in &results.reasons {
        let _ = writeln!(out, "{reason}");
    }
    if let Some(selftest) = &results.selftest {
        let _ = writeln!(out, "judge's own test: {}", super::selftest(selftest));
    }
    out
}

/// Whether a reason says of the case all that there is.
fn is_told(cell: &CellResult, case: &CaseResult) -> bool {
    let name = format!("`{}`", case.id);
    let says_all = |reason: &String| reason.contains(&name) && reason.contains(&case.detail);
    cell.reasons.iter().any(says_all)
}

fn paint(verdict: Verdict, text: &str, colour: Colour) -> String {
    let code = match verdict {
        Verdict::Certified => 32,
        Verdict::CertifiedWithWaivers => 33,
        Verdict::NotCertified => 31,
        Verdict::Unsupported => 35,
        Verdict::NotTested => 90,
    };
    match colour {
        Colour::Yes => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        Colour::No => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::{Colour, summary};

    #[test]
    fn a_report_on_the_terminal() {
        insta::assert_snapshot!(summary(&sample::report(), Colour::No));
    }
}
