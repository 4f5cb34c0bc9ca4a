//! Reports: each format is a pure function from a [`Report`] to text.
//!
//! To add a format, write its file and its line in [`FORMATS`].

mod from_run;
mod html;
mod json;
mod junit;
mod markdown;
mod summary;
mod tap;

#[cfg(test)]
mod sample;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use matrix::cell::CellId;
use matrix::outcome::{CaseResult, Outcome};
use matrix::results::{CellResult, Results, Selftest};

pub use from_run::write_report;
pub use summary::{Colour, summary};

/// All that a report shows, and nothing that must be looked up elsewhere.
#[derive(Debug, Clone)]
pub struct Report {
    /// The judged whole.
    pub results: Results,
    /// Where it comes from.
    pub about: About,
    /// What stands behind each cell.
    pub evidence: BTreeMap<CellId, Evidence>,
}

/// Where a run comes from.
#[derive(Debug, Clone)]
pub struct About {
    /// The matrix that was planned (`quick`).
    pub matrix: String,
    /// When the run began, as RFC 3339 in UTC.
    pub started: String,
    /// The version of Seaworthy that ran it.
    pub harness: String,
    /// The host, in a line: kernel, processors, memory.
    pub host: String,
    /// What executed the guests and why, in a line (`TCG (kvm failed: …)`).
    pub accelerator: String,
    /// Cells of the matrix that nobody asked for, by the reason why they are not there.
    pub left_out: Vec<(String, Vec<CellId>)>,
    /// How long machines were at work for it, in milliseconds; pauses before it was resumed aside.
    pub took_ms: u64,
}

impl Report {
    /// How long a cell took, for people; none where no machine was started.
    fn took(&self, cell: &CellResult) -> Option<String> {
        let evidence = self.evidence.get(&cell.id)?;
        (evidence.took_ms > 0).then(|| duration(evidence.took_ms))
    }

    /// The cells, neighbours together of which nothing but one reason is known: it is told once.
    fn by_reason(&self) -> impl Iterator<Item = &[CellResult]> {
        let is_bare = |cell: &CellResult| {
            cell.case_results.is_empty() && !self.evidence.contains_key(&cell.id)
        };
        (self.results.cells).chunk_by(move |a, b| {
            is_bare(a) && is_bare(b) && a.verdict == b.verdict && a.reasons == b.reasons
        })
    }
}

/// What stands behind a cell's verdict.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The end of the machine's console, as text.
    pub console: String,
    /// How many bytes of the console come before what is shown.
    pub console_cut: u64,
    /// Requirements of the system that are not met, as `(id, state, remedy)`.
    pub gaps: Vec<Gap>,
    /// How long its machines were at work, from the start of the first to the end of the cell, in
    /// milliseconds.
    pub took_ms: u64,
}

/// A requirement of the system that a cell does not meet.
#[derive(Debug, Clone)]
pub struct Gap {
    /// The requirement (`kernel.cgroup.hugetlb`).
    pub id: String,
    /// `must`, `should` or `may`.
    pub level: String,
    /// What to change.
    pub remedy: String,
}

/// A report format.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// The name on the command line.
    pub name: &'static str,
    /// The file's name in the report folder.
    pub file: &'static str,
    /// Renders it.
    pub render: fn(&Report) -> String,
}

/// Every format, in the order in which they are written.
pub const FORMATS: &[Format] = &[
    Format {
        name: "html",
        file: "index.html",
        render: html::render,
    },
    Format {
        name: "markdown",
        file: "report.md",
        render: markdown::render,
    },
    Format {
        name: "junit",
        file: "junit.xml",
        render: junit::render,
    },
    Format {
        name: "tap",
        file: "report.tap",
        render: tap::render,
    },
    Format {
        name: "json",
        file: "report.json",
        render: json::render,
    },
];

/// Writes every format into `dir`, which is made if need be.
///
/// # Errors
/// Those of the file system.
pub fn write_all(report: &Report, dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for format in FORMATS {
        std::fs::write(dir.join(format.file), (format.render)(report))?;
    }
    Ok(())
}

/// The area that a case belongs to: its id up to the first dot.
fn area(case_id: &str) -> &str {
    case_id.split_once('.').map_or(case_id, |(area, _)| area)
}

/// Cases in their order, those that one cause broke together: it is told once, for all of them.
fn by_cause<'a>(cases: impl IntoIterator<Item = &'a CaseResult>) -> Vec<Vec<&'a CaseResult>> {
    let mut groups: Vec<Vec<&CaseResult>> = Vec::new();
    for case in cases {
        let is_alike = |group: &&mut Vec<&CaseResult>| {
            group.first().is_some_and(|first| {
                first.outcome == Outcome::Broken
                    && first.outcome == case.outcome
                    && first.detail == case.detail
            })
        };
        match groups.iter_mut().find(is_alike) {
            Some(group) => group.push(case),
            None => groups.push(vec![case]),
        }
    }
    groups
}

/// The names of a group of cases; of a large one its size.
fn names(group: &[&CaseResult], quote: &str) -> String {
    const NAMED: usize = 5;
    if group.len() > NAMED {
        return plural(group.len(), "case");
    }
    let names = group
        .iter()
        .map(|case| format!("{quote}{}{quote}", case.id));
    names.collect::<Vec<_>>().join(", ")
}

/// `1 case`, `2 cases`.
pub(crate) fn plural(n: usize, one: &str) -> String {
    if n == 1 {
        format!("{n} {one}")
    } else {
        format!("{n} {one}s")
    }
}

/// A duration for people: milliseconds below a second, minutes from 100 seconds on.
fn duration(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..100_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

/// What executed the guests, without why nothing better did: QEMU's own words are for whoever
/// looks for them.
pub fn accelerator_in_short(accelerator: &str) -> String {
    match accelerator.split_once(" (kvm failed: ") {
        Some((name, _)) => format!("{name}, as KVM does not work there"),
        None => accelerator.to_owned(),
    }
}

/// Text taken apart at its code spans: what stands between backticks is code. Text whose
/// backticks are no pairs, each around something, is all prose.
fn spans(text: &str) -> Vec<Span<'_>> {
    let parts: Vec<&str> = text.split('`').collect();
    let inner = parts.get(1..parts.len() - 1).unwrap_or_default();
    if parts.len() % 2 == 0
        || inner
            .iter()
            .any(|part| part.is_empty() || part.contains('\n'))
    {
        return vec![Span::Prose(text)];
    }
    let is_code = [false, true].into_iter().cycle();
    (parts.into_iter().zip(is_code))
        .map(|(part, is_code)| {
            if is_code {
                Span::Code(part)
            } else {
                Span::Prose(part)
            }
        })
        .collect()
}

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span<'a> {
    Prose(&'a str),
    Code(&'a str),
}

/// The one sentence that sums up the run.
fn headline(results: &Results) -> String {
    let certified = results
        .cells
        .iter()
        .filter(|cell| cell.verdict.is_certified())
        .count();
    format!(
        "{certified} of {} certified on {}; {} passed, {} failed, {} flaky, {} skipped, {} broken",
        plural(results.cells.len(), "cell"),
        plural(results.totals.certified_kernels, "kernel"),
        plural(results.totals.cases.pass, "case"),
        results.totals.cases.fail,
        results.totals.cases.flaky,
        results.totals.cases.skip,
        results.totals.cases.broken,
    )
}

/// What a self-test of the suites came to, in a sentence.
pub fn selftest(selftest: &Selftest) -> String {
    let mut text = format!(
        "{} of {} known faults, built into {} {}, were caught",
        selftest.caught, selftest.known_bad, selftest.engine.name, selftest.engine.version,
    );
    if !selftest.missed.is_empty() {
        // Writing into a String cannot fail.
        let _ = write!(text, "; missed: {}", selftest.missed.join(", "));
    }
    if !selftest.not_shown.is_empty() {
        let _ = write!(text, "; not shown: {}", selftest.not_shown.join(", "));
    }
    let honest = match (selftest.good, selftest.good_failed) {
        (0, _) => "nothing is known of the engine without a fault",
        (_, 0) => "the engine without a fault passed",
        (_, _) => "the engine without a fault failed",
    };
    format!("{text}; {honest}")
}

/// What stands in a cell's place when a machine was never up.
fn boot(cell: &CellResult) -> String {
    cell.boot_ms.map_or_else(
        || "–".to_owned(),
        |ms| {
            let from = if cell.restored { ", restored" } else { "" };
            format!("{} ({}{from})", duration(ms), cell.accelerator)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_broke_many_cases_is_told_once() {
        let case = |id: &str, outcome, detail: &str| CaseResult {
            id: id.to_owned(),
            requirement: Vec::new(),
            outcome,
            ms: 0,
            detail: detail.to_owned(),
        };
        let mut cases = vec![
            case("a", Outcome::Broken, "no outcome"),
            case("b", Outcome::Fail, "no limit"),
            case("c", Outcome::Fail, "no limit"),
            case("d", Outcome::Broken, "no outcome"),
        ];
        let told = |cases: &[CaseResult]| -> Vec<String> {
            let groups = by_cause(cases);
            groups.iter().map(|group| names(group, "`")).collect()
        };
        assert_eq!(told(&cases), ["`a`, `d`", "`b`", "`c`"]);
        for id in 0..156 {
            cases.push(case(&id.to_string(), Outcome::Broken, "no outcome"));
        }
        assert_eq!(told(&cases), ["158 cases", "`b`", "`c`"]);
    }
}
