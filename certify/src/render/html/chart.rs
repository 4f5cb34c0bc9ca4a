//! Charts as inline SVG. Colours come from the page's style sheet, so they follow its theme.

use maud::{Markup, html};

use matrix::outcome::{Counts, Outcome};
use matrix::results::{CellResult, Results};

use super::super::{Report, area, boot, duration};

/// Height of a row, in the units of the view box.
const ROW: usize = 22;
/// Width of the labels at the left.
const LABELS: usize = 216;
/// Width of the longest bar.
const BARS: usize = 150;
/// Width of the whole drawing: figures stand behind the bars.
const WIDTH: usize = LABELS + BARS + 60;

/// How many cases of each area came to which outcome, over all cells, as stacked bars.
pub(super) fn outcomes_by_area(results: &Results) -> Markup {
    let mut areas: Vec<(&str, Counts)> = Vec::new();
    for case in results.cells.iter().flat_map(|cell| &cell.case_results) {
        let counts: Counts = [case.outcome].into_iter().collect();
        let name = area(&case.id);
        match areas.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum = *sum + counts,
            None => areas.push((name, counts)),
        }
    }
    let longest = areas
        .iter()
        .map(|(_, counts)| counts.total())
        .max()
        .unwrap_or(1)
        .max(1);
    chart(
        "Cases by area and outcome",
        "cases, all cells",
        areas.len(),
        &html! {
            @for (row, (name, counts)) in areas.iter().enumerate() {
                (label(row, name))
                @for (outcome, start, length) in segments(counts, longest) {
                    rect data-outcome=(outcome) x=(LABELS + start) y=(row * ROW + 4) width=(length) height=(ROW - 8) {
                        title { (name) ": " (counts.of(outcome)) " " (outcome) }
                    }
                }
                (figure(row, BARS * counts.total() / longest, &counts.total().to_string()))
            }
        },
    )
}

/// How long each cell took: its machine, the support check and the cases.
pub(super) fn times(report: &Report) -> Markup {
    let evidence = |cell: &CellResult| report.evidence.get(&cell.id).map(|known| known.took_ms);
    let cells = report.results.cells.iter();
    let ran: Vec<_> = (cells.filter_map(|cell| Some((cell, evidence(cell)?))))
        .filter(|(cell, _)| cell.boot_ms.is_some() || !cell.case_results.is_empty())
        .collect();
    let longest = ran.iter().map(|(_, ms)| *ms).max().unwrap_or(1).max(1);
    chart(
        "Time of each cell",
        "machine, check and cases",
        ran.len(),
        &html! {
            @for (row, (cell, ms)) in ran.iter().enumerate() {
                @let length = scaled(*ms, longest);
                (label(row, cell.id.as_str()))
                rect.bar x=(LABELS) y=(row * ROW + 4) width=(length) height=(ROW - 8) {
                    title { (cell.id) ": " (duration(*ms)) ", boot " (boot(cell)) }
                }
                (figure(row, length, &duration(*ms)))
            }
        },
    )
}

fn chart(title: &str, unit: &str, rows: usize, content: &Markup) -> Markup {
    let height = rows.max(1) * ROW;
    html! {
        figure {
            figcaption { b { (title) } " " small { (unit) } }
            @if rows == 0 {
                p { "Nothing was measured." }
            } @else {
                svg viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label=(title) { (content) }
            }
        }
    }
}

fn label(row: usize, text: &str) -> Markup {
    // The drawing has room for about 34 characters; the whole stands in the tooltip.
    let shown: String = match text.char_indices().rev().nth(33) {
        Some((start, _)) if start > 0 => format!("…{}", text.get(start..).unwrap_or(text)),
        _ => text.to_owned(),
    };
    html! { text x=(LABELS - 8) y=(row * ROW + 15) text-anchor="end" { (shown) title { (text) } } }
}

fn figure(row: usize, length: usize, text: &str) -> Markup {
    html! { text x=(LABELS + length + 6) y=(row * ROW + 15) { (text) } }
}

/// The stacked parts of a bar: outcome, start and length, where there is anything to draw.
fn segments(counts: &Counts, longest: usize) -> Vec<(Outcome, usize, usize)> {
    let mut done = 0;
    let mut parts = Vec::new();
    for outcome in Outcome::ALL {
        let start = BARS * done / longest;
        done += counts.of(outcome);
        let end = BARS * done / longest;
        if end > start {
            parts.push((outcome, start, end - start));
        }
    }
    parts
}

fn scaled(value: u64, longest: u64) -> usize {
    // At most BARS, as the value is at most the longest.
    usize::try_from(BARS as u64 * value / longest).unwrap_or(BARS)
}
