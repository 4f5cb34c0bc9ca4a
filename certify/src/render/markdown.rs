//! Markdown, for release notes and pull requests.

use std::fmt::Write as _;

use matrix::outcome::Outcome;
use matrix::results::CellResult;

use super::{Report, Span, boot, by_cause, duration, headline, names, spans};

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
    out.push_str("| cell | verdict | pass | fail | flaky | skip | broken | time | boot |\n");
    out.push_str("|---|---|--:|--:|--:|--:|--:|--:|--:|\n");
    for cell in &results.cells {
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {} | {} | {} | {} | {} |",
            cell.id,
            cell.verdict,
            cell.cases.pass,
            cell.cases.fail,
            cell.cases.flaky,
            cell.cases.skip,
            cell.cases.broken,
            report.took(cell).unwrap_or_else(|| "–".to_owned()),
            boot(cell),
        );
    }
    for cells in report.by_reason() {
        if let Some(cell) = cells.first().filter(|cell| is_worth_a_section(cell)) {
            let ids: Vec<String> = cells.iter().map(|cell| format!("`{}`", cell.id)).collect();
            section(&mut out, &ids.join(", "), cell);
        }
    }
    if !about.left_out.is_empty() {
        out.push_str("\n## Left out\n\n");
        for (reason, ids) in &about.left_out {
            let ids: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
            let _ = writeln!(out, "- {}: {}", escape(reason), ids.join(", "));
        }
    }
    if let Some(selftest) = &results.selftest {
        let selftest = escape(&super::selftest(selftest));
        let _ = writeln!(out, "\nThe judge's own test: {selftest}.");
    }
    let _ = writeln!(
        out,
        "\n---\nMatrix `{}`, policy `{}`, started {} with Seaworthy {} on {}, took {}; guests ran under {}. \
         Engine SHA-256 `{}`.\nCheck it yourself, offline: `seaworthy verify certificate.dsse.json`.",
        about.matrix,
        results.policy,
        about.started,
        about.harness,
        escape(&about.host),
        duration(about.took_ms),
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

fn section(out: &mut String, title: &str, cell: &CellResult) {
    let _ = writeln!(out, "\n## {title}: {}\n", cell.verdict);
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

/// Keeps what an engine or a machine said from being read as markup, code spans aside.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for span in spans(text) {
        match span {
            Span::Prose(text) => escape_prose(&mut out, text),
            // In a table a bar ends the cell even here.
            Span::Code(code) => {
                let code: String = code.chars().filter(|c| !c.is_control()).collect();
                let _ = write!(out, "`{}`", code.replace('|', "\\|"));
            }
        }
    }
    out
}

fn escape_prose(out: &mut String, text: &str) {
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let after = chars.peek().copied().unwrap_or(' ');
        let is_in_a_word = before.is_alphanumeric() && after.is_alphanumeric();
        match c {
            '\n' => out.push_str("<br>"),
            '<' => out.push_str("&lt;"),
            '_' if is_in_a_word => out.push(c),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
        before = c;
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;

    #[test]
    fn code_spans_stay_and_all_else_is_escaped() {
        let told = super::escape;
        assert_eq!(
            told("`a_b|c` on x86_64, _so_"),
            "`a_b\\|c` on x86_64, \\_so\\_"
        );
        assert_eq!(told("one ` alone [x]"), "one \\` alone \\[x\\]");
        assert_eq!(told("``<b>``"), "\\`\\`&lt;b>\\`\\`");
    }

    #[test]
    fn a_report_as_markdown() {
        insta::assert_snapshot!(super::render(&sample::report()));
    }
}
