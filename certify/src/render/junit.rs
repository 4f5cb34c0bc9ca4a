//! `JUnit` XML, in the dialect that CI systems agree on: a suite a cell, a test case a case.
//!
//! A failed or flaky case is a `failure`, a broken one an `error` (the harness's or the
//! machine's), a skip is `skipped`. A cell without cases is one case that is skipped, so that
//! what was not run can't be mistaken for what passed.

use std::fmt::Write as _;

use matrix::outcome::{CaseResult, Outcome};
use matrix::results::CellResult;

use super::Report;

pub(super) fn render(report: &Report) -> String {
    let cases = report.results.totals.cases;
    let untested = report
        .results
        .cells
        .iter()
        .filter(|c| c.case_results.is_empty())
        .count();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing into a String cannot fail.
    let _ = writeln!(
        out,
        r#"<testsuites name="{}" tests="{}" failures="{}" errors="{}" skipped="{}">"#,
        escape(&format!(
            "{} {}",
            report.results.engine.name, report.results.engine.version
        )),
        cases.total() + untested,
        cases.fail + cases.flaky,
        cases.broken,
        cases.skip + untested,
    );
    for cell in &report.results.cells {
        suite(&mut out, cell, &report.about.started);
    }
    out.push_str("</testsuites>\n");
    out
}

fn suite(out: &mut String, cell: &CellResult, started: &str) {
    let untested = usize::from(cell.case_results.is_empty());
    let ms: u64 = cell.case_results.iter().map(|case| case.ms).sum();
    let _ = writeln!(
        out,
        r#"  <testsuite name="{}" tests="{}" failures="{}" errors="{}" skipped="{}" time="{}" timestamp="{}">"#,
        escape(cell.id.as_str()),
        cell.cases.total() + untested,
        cell.cases.fail + cell.cases.flaky,
        cell.cases.broken,
        cell.cases.skip + untested,
        seconds(ms),
        escape(started),
    );
    let _ = writeln!(
        out,
        "    <properties>\n      <property name=\"verdict\" value=\"{}\"/>\n      <property name=\"accelerator\" value=\"{}\"/>\n    </properties>",
        cell.verdict, cell.accelerator,
    );
    for each in &cell.case_results {
        case(out, cell, each);
    }
    if untested == 1 {
        let _ = writeln!(
            out,
            "    <testcase classname=\"{id}\" name=\"cell\" time=\"0\"><skipped message=\"{}\"/></testcase>",
            escape(&format!("{}: {}", cell.verdict, cell.reasons.join("; "))),
            id = escape(cell.id.as_str()),
        );
    }
    out.push_str("  </testsuite>\n");
}

fn case(out: &mut String, cell: &CellResult, case: &CaseResult) {
    let open = format!(
        r#"    <testcase classname="{}" name="{}" time="{}""#,
        escape(cell.id.as_str()),
        escape(&case.id),
        seconds(case.ms),
    );
    let detail = escape(&case.detail);
    let _ = match case.outcome {
        Outcome::Pass => writeln!(out, "{open}/>"),
        Outcome::Skip => writeln!(out, "{open}><skipped message=\"{detail}\"/></testcase>"),
        Outcome::Fail => {
            writeln!(
                out,
                "{open}><failure type=\"fail\" message=\"{detail}\"/></testcase>"
            )
        }
        Outcome::Flaky => {
            writeln!(
                out,
                "{open}><failure type=\"flaky\" message=\"{detail}\"/></testcase>"
            )
        }
        Outcome::Broken => {
            writeln!(
                out,
                "{open}><error type=\"broken\" message=\"{detail}\"/></testcase>"
            )
        }
    };
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// Escapes for an attribute, and drops what XML 1.0 has no way to write.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::sample;

    #[test]
    fn a_report_as_junit() {
        insta::assert_snapshot!(super::render(&sample::report()));
    }

    #[test]
    fn an_escape_sequence_of_a_console_does_not_break_the_document() {
        assert_eq!(
            super::escape("\u{1b}[31m<a \"b\">\n"),
            "\u{fffd}[31m&lt;a &quot;b&quot;&gt;&#10;"
        );
    }
}
