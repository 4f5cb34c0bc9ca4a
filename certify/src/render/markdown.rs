//! Markdown, for release notes and pull requests.

use std::fmt::Write as _;

use matrix::outcome::Outcome;
use matrix::results::CellResult;

use super::{Report, boot, by_cause, duration, headline, names};

pub(super) fn render(report: &Report) -> String {
    let results = &report.results;
    let about = &report.about;
    // Writing into a String cannot fail.
    let mut out = String::new();
    let _ = writeln!(
        out,
        "# {} {}: {}\n",
        results.engine.name, results.engine.version, results.verdict
    );
    let _ = writeln!(out, "{}.\n", headline(results));
    for reason in &results.reasons {
        let _ = writeln!(out, "- {}", escape(reason));
    }
    if !results.reasons.is_empty() {
        out.push('\n');
    }
    out.push_str("| cell | verdict | pass | fail | flaky | skip | broken | boot |\n");
    out.push_str("|---|---|--:|--:|--:|--:|--:|--:|\n");
    for cell in &results.cells {
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {} | {} | {} | {} |",
            cell.id,
            cell.verdict,
            cell.cases.pass,
            cell.cases.fail,
            cell.cases.flaky,
            cell.cases.skip,
            cell.cases.broken,
            boot(cell),
        );
    }
    for cell in results.cells.iter().filter(|cell| is_worth_a_section(cell)) {
        section(&mut out, cell);
    }
    if !about.excluded.is_empty() {
        out.push_str("\n## Not in this matrix\n\n");
        for (id, reason) in &about.excluded {
            let _ = writeln!(out, "- `{id}`: {}", escape(reason));
        }
    }
    if let Some(selftest) = &results.selftest {
        let selftest = escape(&super::selftest(selftest));
        let _ = writeln!(out, "\nThe judge's own test: {selftest}.");
    }
    let _ = writeln!(
        out,
        "\n---\nMatrix `{}`, policy `{}`, started {} with Seaworthy {} on {}; guests ran under {}. \
         Engine SHA-256 `{}`.\nCheck it yourself, offline: `seaworthy verify certificate.dsse.json`.",
        about.matrix,
        results.policy,
        about.started,
        about.harness,
        escape(&about.host),
        escape(&about.accelerator),
        results.engine.sha256,
    );
    out
}

fn is_worth_a_section(cell: &CellResult) -> bool {
    !cell.reasons.is_empty()
        || cell
            .case_results
            .iter()
            .any(|case| case.outcome != Outcome::Pass)
}

fn section(out: &mut String, cell: &CellResult) {
    let _ = writeln!(out, "\n## `{}`: {}\n", cell.id, cell.verdict);
    for reason in &cell.reasons {
        let _ = writeln!(out, "- {}", escape(reason));
    }
    let notable: Vec<_> = cell
        .case_results
        .iter()
        .filter(|case| case.outcome != Outcome::Pass)
        .collect();
    if notable.is_empty() {
        return;
    }
    out.push_str("\n| case | outcome | time | requirements | detail |\n|---|---|--:|---|---|\n");
    for group in by_cause(notable) {
        let Some(first) = group.first() else { continue };
        let (time, requirements) = match group.len() {
            1 => (duration(first.ms), first.requirement.join(", ")),
            _ => (String::new(), String::new()),
        };
        let _ = writeln!(
            out,
            "| {} | {} | {time} | {requirements} | {} |",
            names(&group, "`"),
            first.outcome,
            escape(&first.detail),
        );
    }
}

/// Keeps what an engine or a machine said from being read as markup.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("<br>"),
            '<' => out.push_str("&lt;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::sample;

    #[test]
    fn a_report_as_markdown() {
        insta::assert_snapshot!(super::render(&sample::report()));
    }
}
