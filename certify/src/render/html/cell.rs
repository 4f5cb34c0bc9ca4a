//! One cell, folded: its reasons, cases by area, gaps of the system, and console.

use maud::{Markup, html};

use matrix::outcome::{CaseResult, Outcome};
use matrix::results::CellResult;

use super::super::{Evidence, area, boot, duration};
use super::{anchor, mark};

pub(super) fn cell(cell: &CellResult, evidence: Option<&Evidence>) -> Markup {
    html! {
        details.cell id=(anchor(&cell.id)) data-verdict=(cell.verdict) {
            summary {
                span.badge data-verdict=(cell.verdict) { (mark(cell.verdict)) " " (cell.verdict) } " "
                code { (cell.id) } " "
                span.counts { (counts(cell)) }
            }
            @if !cell.reasons.is_empty() {
                ul.reasons { @for reason in &cell.reasons { li { (reason) } } }
            }
            p.facts {
                "Kernel " (cell.kernel_release.as_deref().unwrap_or("never answered"))
                " · " (cell.target) " target · boot " (boot(cell))
            }
            @for (name, cases) in by_area(&cell.case_results) { (area_table(name, &cases)) }
            @if let Some(evidence) = evidence { (behind(evidence)) }
        }
    }
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
fn by_area(cases: &[CaseResult]) -> Vec<(&str, Vec<&CaseResult>)> {
    let mut areas: Vec<(&str, Vec<&CaseResult>)> = Vec::new();
    for case in cases {
        let name = area(&case.id);
        match areas.iter_mut().find(|(known, _)| *known == name) {
            Some((_, list)) => list.push(case),
            None => areas.push((name, vec![case])),
        }
    }
    areas
}

fn area_table(name: &str, cases: &[&CaseResult]) -> Markup {
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
                                @if !case.detail.is_empty() { pre.detail { (case.detail) } }
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
                    li { code { (gap.id) } " (" (gap.level) "): " (gap.remedy) }
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
