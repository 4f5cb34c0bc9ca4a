//! One self-contained web page: no network, no build step, readable without scripts.
//!
//! The matrix is a grid of links into the cells below it; a cell unfolds to its cases, reasons
//! and console. The script only adds the filter and opens what a link points at.

#[cfg(test)]
mod browser;
mod cell;
mod chart;
mod grid;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use matrix::cell::CellId;
use matrix::outcome::Outcome;
use matrix::verdict::Verdict;

use super::{Report, Span, accelerator_in_short, duration, headline, spans};

pub(super) fn render(report: &Report) -> String {
    let results = &report.results;
    let title = format!(
        "{} {}: {}",
        results.engine.name, results.engine.version, results.verdict
    );
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Nothing that a console or an engine says can load or run anything.
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                (banner(report))
                main {
                    section id="matrix" {
                        h2 { "Matrix" }
                        (grid::grid(report))
                        (legend())
                    }
                    section id="charts" {
                        h2 { "Charts" }
                        div.charts {
                            (chart::outcomes_by_area(results))
                            (chart::times(report))
                        }
                    }
                    section id="cells" {
                        h2 { "Cells" }
                        (filter())
                        @for alike in report.by_reason() { (cell::cell(alike, report)) }
                        p.nothing hidden { "No cell or case matches the filter." }
                    }
                    (provenance(report))
                }
                script { (PreEscaped(include_str!("script.js"))) }
            }
        }
    }
    .into_string()
}

fn banner(report: &Report) -> Markup {
    let results = &report.results;
    html! {
        header.banner data-verdict=(results.verdict) {
            p.kicker { "Seaworthy certification report" }
            h1 {
                span { (results.engine.name) " " (results.engine.version) } " "
                strong.badge data-verdict=(results.verdict) { (mark(results.verdict)) " " (results.verdict) }
            }
            p.headline { (headline(results)) "." }
            @if !results.reasons.is_empty() {
                ul.reasons { @for reason in &results.reasons { li { (prose(reason)) } } }
            }
            p.facts {
                "Policy " code { (results.policy) } " · matrix " code { (report.about.matrix) }
                " · started " time datetime=(report.about.started) { (report.about.started) }
                " · took " (duration(report.about.took_ms))
                " · guests under " (accelerator_in_short(&report.about.accelerator))
            }
        }
    }
}

fn legend() -> Markup {
    html! {
        ul.legend aria-label="Verdicts" {
            @for verdict in Verdict::ALL {
                li {
                    span.badge data-verdict=(verdict) { (mark(verdict)) " " (verdict) } " "
                    (meaning(verdict))
                }
            }
        }
    }
}

fn filter() -> Markup {
    html! {
        form.filter role="search" {
            label { "Filter " input type="search" id="filter-text" placeholder="kernel, driver, case, requirement …"; }
            fieldset {
                legend { "Cases" }
                @for outcome in Outcome::ALL {
                    label.chip data-outcome=(outcome) {
                        input type="checkbox" name="outcome" value=(outcome) checked; (outcome)
                    }
                }
            }
            button type="button" id="expand" { "Open all" }
        }
    }
}

fn provenance(report: &Report) -> Markup {
    let about = &report.about;
    html! {
        @if !about.left_out.is_empty() {
            section id="left-out" {
                h2 { "Left out" }
                @for (reason, ids) in &about.left_out {
                    p { (prose(reason)) ":" }
                    ul { @for id in ids { li { code { (id) } } } }
                }
            }
        }
        section id="provenance" {
            h2 { "Where this comes from" }
            dl {
                dt { "Engine" } dd { (report.results.engine.name) " " (report.results.engine.version) }
                dt { "SHA-256 of its binary" } dd { code.digest { (report.results.engine.sha256) } }
                dt { "Harness" } dd { "Seaworthy " (about.harness) }
                dt { "Host" } dd { (about.host) }
                dt { "Guests ran under" } dd { (about.accelerator) }
                dt { "Judge's own test" }
                dd {
                    @match &report.results.selftest {
                        Some(selftest) => (super::selftest(selftest)),
                        None => "not run"
                    }
                }
                dt { "Verify it yourself, offline" }
                dd { code { "seaworthy verify certificate.dsse.json" } }
            }
        }
    }
}

/// Text with its code spans as such.
fn prose(text: &str) -> Markup {
    html! {
        @for span in spans(text) {
            @match span {
                Span::Prose(text) => (text),
                Span::Code(code) => code { (code) },
            }
        }
    }
}

/// The id of a cell's element in the page.
fn anchor(id: &CellId) -> String {
    format!("cell-{}", id.as_str().replace('/', "_"))
}

/// A sign for a verdict, for those who do not see its colour.
const fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Certified => "✓",
        Verdict::CertifiedWithWaivers => "✓*",
        Verdict::NotCertified => "✗",
        Verdict::Unsupported => "⊘",
        Verdict::NotTested => "?",
    }
}

const fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Certified => "all that the policy demands was run and passed",
        Verdict::CertifiedWithWaivers => "as above, but for failures that the policy waives",
        Verdict::NotCertified => "the engine failed a case that the policy demands",
        Verdict::Unsupported => "the system lacks what every engine needs here",
        Verdict::NotTested => "never ran, or the machine failed: nothing is known",
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;

    #[test]
    fn a_report_as_a_web_page() {
        insta::assert_snapshot!(super::render(&sample::report()));
    }

    #[test]
    fn nothing_that_an_engine_says_becomes_markup() {
        assert!(!super::render(&sample::report()).contains("<script>alert"));
    }
}
