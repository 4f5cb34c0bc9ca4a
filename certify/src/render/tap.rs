//! TAP version 14: a subtest a cell, as the specification's indented form.
//!
//! A broken case is `not ok` with a `# TODO broken` directive: consumers neither fail the run
//! for it nor count it as passed. A cell that was not tested is skipped, with its reasons.

use std::fmt::Write as _;

use matrix::outcome::{CaseResult, Outcome};
use matrix::results::CellResult;
use matrix::verdict::Verdict;

use super::Report;

pub(super) fn render(report: &Report) -> String {
    let mut out = format!("TAP version 14\n1..{}\n", report.results.cells.len());
    for (index, cell) in report.results.cells.iter().enumerate() {
        subtest(&mut out, cell);
        let number = index + 1;
        let id = escape(cell.id.as_str());
        // Writing into a String cannot fail.
        let _ = match cell.verdict {
            Verdict::Certified | Verdict::CertifiedWithWaivers => {
                writeln!(out, "ok {number} - {id} # {}", cell.verdict)
            }
            Verdict::NotCertified => writeln!(out, "not ok {number} - {id}"),
            Verdict::Unsupported | Verdict::NotTested => writeln!(
                out,
                "ok {number} - {id} # SKIP {}: {}",
                cell.verdict,
                escape(&cell.reasons.join("; "))
            ),
        };
    }
    out
}

fn subtest(out: &mut String, cell: &CellResult) {
    if cell.case_results.is_empty() {
        return;
    }
    let _ = writeln!(out, "# Subtest: {}", escape(cell.id.as_str()));
    let _ = writeln!(out, "    1..{}", cell.case_results.len());
    for (index, case) in cell.case_results.iter().enumerate() {
        line(out, index + 1, case);
    }
}

fn line(out: &mut String, number: usize, case: &CaseResult) {
    let id = escape(&case.id);
    let detail = escape(&case.detail);
    let _ = match case.outcome {
        Outcome::Pass => writeln!(out, "    ok {number} - {id}"),
        Outcome::Skip => writeln!(out, "    ok {number} - {id} # SKIP {detail}"),
        Outcome::Broken => writeln!(out, "    not ok {number} - {id} # TODO broken: {detail}"),
        Outcome::Fail | Outcome::Flaky => writeln!(
            out,
            "    not ok {number} - {id}\n      ---\n      outcome: {}\n      message: {}\n      duration_ms: {}\n      ...",
            case.outcome,
            serde_json::Value::from(case.detail.as_str()),
            case.ms,
        ),
    };
}

/// Keeps `#` and line ends from being read as TAP's own.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('#', "\\#")
        .replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::super::sample;

    #[test]
    fn a_report_as_tap() {
        insta::assert_snapshot!(super::render(&sample::report()));
    }
}
