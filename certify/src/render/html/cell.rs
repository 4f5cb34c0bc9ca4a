//! One cell, folded unless it failed: its reasons, what did not pass, all other cases by area, gaps
//! of the system, and console. Cells of which nothing but one reason is known share one place.

use maud::{Markup, html};

use matrix::outcome::{CaseResult, Outcome};
use matrix::results::CellResult;
use matrix::verdict::Verdict;

use super::super::{Evidence, Report, area, boot, by_cause, duration};
use super::{anchor, mark, prose};

pub(super) fn cell(alike: &[CellResult], report: &Report) -> Markup {
    let Some((cell, others)) = alike.split_first() else {
        return html! {};
    };
    let has_failed = cell.verdict == Verdict::NotCertified;
    html! {
        details.cell id=(anchor(&cell.id)) data-verdict=(cell.verdict) open[has_failed] {
            summary {
                span.badge data-verdict=(cell.verdict) { (mark(cell.verdict)) " " (cell.verdict) } " "
                code { (cell.id) } " "
                @for other in others { code id=(anchor(&other.id)) { (other.id) } " " }
                span.counts { (counts(cell)) }
            }
            @if !cell.reasons.is_empty() {
                ul.reasons { @for reason in &cell.reasons { li { (prose(reason)) } } }
            }
            @if cell.boot_ms.is_some() || !cell.case_results.is_empty() {
                p.facts {
                    "Kernel " (cell.kernel_release.as_deref().unwrap_or("never answered"))
                    " · " (cell.target) " target · boot " (boot(cell))
                    @if let Some(took) = report.took(cell) { " · took " (took) }
                }
            }
            (cases(&cell.case_results))
            @if let Some(evidence) = report.evidence.get(&cell.id) { (behind(evidence)) }
        }
    }
}

/// What did not pass first; the rest is folded then.
fn cases(cases: &[CaseResult]) -> Markup {
    let (fine, bad): (Vec<&CaseResult>, Vec<&CaseResult>) =
        (cases.iter()).partition(|case| matches!(case.outcome, Outcome::Pass | Outcome::Skip));
    let (alone, broken): (Vec<_>, Vec<_>) =
        (by_cause(bad).into_iter()).partition(|group| group.len() == 1);
    let alone = alone.concat();
    let areas = html! {
        @for (name, cases) in by_area(&fine) { (table(name, &cases, Detail::Each)) }
    };
    html! {
        @if !alone.is_empty() { (table("Not passed", &alone, Detail::Each)) }
        @for group in &broken { (broken_alike(group)) }
        @if alone.is_empty() && broken.is_empty() {
            (areas)
        } @else if !fine.is_empty() {
            details.more { summary { (fine.len()) " others, passed or skipped" } (areas) }
        }
    }
}

/// Cases that one cause broke: it stands above them.
fn broken_alike(group: &[&CaseResult]) -> Markup {
    html! {
        @if let Some(first) = group.first() {
            details.more {
                summary {
                    span.count data-outcome=(first.outcome) { (group.len()) " " (first.outcome) } " "
                    (prose(&first.detail))
                }
                (table("Not passed", group, Detail::Above))
            }
        }
    }
}

/// Where the words of cases are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    /// At each case.
    Each,
    /// Above all of them.
    Above,
}

fn counts(cell: &CellResult) -> Markup {
    html! {
        @for outcome in Outcome::ALL {
            @let n = cell.cases.of(outcome);
            @if n > 0 { span.count data-outcome=(outcome) { (n) " " (outcome) } " " }
        }
    }
}

/// The cases by area, areas in the order in which they first come up.
fn by_area<'a>(cases: &[&'a CaseResult]) -> Vec<(&'a str, Vec<&'a CaseResult>)> {
    let mut areas: Vec<(&str, Vec<&CaseResult>)> = Vec::new();
    for &case in cases {
        let name = area(&case.id);
        match areas.iter_mut().find(|(known, _)| *known == name) {
            Some((_, list)) => list.push(case),
            None => areas.push((name, vec![case])),
        }
    }
    areas
}

fn table(name: &str, cases: &[&CaseResult], detail: Detail) -> Markup {
    html! {
        div.scroll {
            table.cases {
                caption { (name) }
                thead { tr { th { "Case" } th { "Outcome" } th { "Time" } th { "Proves" } } }
                tbody {
                    @for case in cases {
                        tr.case data-outcome=(case.outcome) {
                            th scope="row" {
                                code { (case.id) }
                                @if detail == Detail::Each && !case.detail.is_empty() { pre.detail { (case.detail) } }
                            }
                            td { span.count data-outcome=(case.outcome) { (case.outcome) } }
                            td.number { (duration(case.ms)) }
                            td { @for each in &case.requirement { code { (each) } " " } }
                        }
                    }
                }
            }
        }
    }
}

fn behind(evidence: &Evidence) -> Markup {
    html! {
        @if !evidence.gaps.is_empty() {
            details.gaps {
                summary { "What this system lacks (" (evidence.gaps.len()) ")" }
                ul { @for gap in &evidence.gaps {
                    li { code { (gap.id) } " (" (gap.level) "): " (prose(&gap.remedy)) }
                } }
            }
        }
        @if !evidence.console.is_empty() {
            details.console {
                summary { "Console" }
                @if evidence.console_cut > 0 {
                    p.facts { "The first " (evidence.console_cut) " bytes are in the run folder's " code { "console.log" } "." }
                }
                pre tabindex="0" { (without_escapes(&evidence.console)) }
            }
        }
    }
}

/// Drops terminal escape sequences and control characters other than line ends and tabs.
fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            // CSI: parameters up to a final byte (ECMA-48 section 5.4).
            '\u{1b}' => {
                if chars.as_str().starts_with('[') {
                    chars.next();
                    chars.by_ref().find(|c| ('\u{40}'..='\u{7e}').contains(c));
                }
            }
            '\n' | '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::without_escapes;

    #[test]
    fn a_console_is_shown_without_its_escape_sequences() {
        assert_eq!(
            without_escapes("\u{1b}[0;1;31mfail\u{1b}[0m\r\n\u{1b}c\u{7}ok"),
            "fail\ncok"
        );
    }
}
