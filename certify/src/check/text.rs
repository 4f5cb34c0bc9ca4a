//! What a packager reads: the verdict, what is missing with the change that mends it, gaps,
//! storage drivers.

use std::fmt::Write as _;

use matrix::requirement::Level;
use matrix::support::{Finding, State, Support, SupportVerdict};

use crate::render::Colour;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What is missing or in doubt.
    Gaps,
    /// Every requirement.
    All,
}

/// Renders one document.
pub fn render(support: &Support, detail: Detail, colour: Colour) -> String {
    let kernel = &support.kernel;
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(
        out,
        "{}: {} ({}{})",
        kernel.source,
        paint(
            verdict_code(support.verdict),
            support.verdict.name(),
            colour
        ),
        kernel
            .release
            .as_deref()
            .map_or("kernel of unknown version".to_owned(), |r| format!(
                "Linux {r}"
            )),
        kernel
            .arch
            .as_deref()
            .map_or(String::new(), |arch| format!(", {arch}")),
    );
    for note in &support.notes {
        let _ = writeln!(out, "  note: {note}");
    }
    for level in Level::ALL {
        section(&mut out, support, (level, State::Absent), detail, colour);
        if level == Level::Must {
            section(&mut out, support, (level, State::Unknown), detail, colour);
        }
    }
    modules(&mut out, support);
    let _ = writeln!(out, "\nStorage drivers:");
    for driver in &support.drivers {
        let (code, mark) = if driver.available {
            (32, "yes")
        } else {
            (90, "no ")
        };
        let _ = writeln!(
            out,
            "  {} {:<8} {}",
            paint(code, mark, colour),
            driver.name,
            driver.why
        );
    }
    if detail == Detail::All {
        let _ = writeln!(out, "\nAll requirements:");
        for finding in &support.requirements {
            let _ = writeln!(
                out,
                "  {:<14} {:<6} {:<33} {}",
                finding.state.name(),
                finding.level.name(),
                finding.id.as_str(),
                finding.why,
            );
        }
    }
    out
}

fn section(
    out: &mut String,
    support: &Support,
    (level, state): (Level, State),
    detail: Detail,
    colour: Colour,
) {
    let findings: Vec<&Finding> = support.findings(level, state).collect();
    if findings.is_empty() {
        return;
    }
    let title = match (level, state) {
        (Level::Must, State::Unknown) => "Required, and not decided:",
        (Level::Must, _) => "Missing, and required:",
        (Level::Should, _) => "Missing, and expected:",
        (Level::May, _) => "Absent, and optional:",
    };
    let _ = writeln!(out, "\n{title}");
    for finding in findings {
        let code = if level == Level::Must { 31 } else { 33 };
        let id = format!("{:<30}", finding.id.as_str());
        let id = if level == Level::May {
            id
        } else {
            paint(code, &id, colour)
        };
        let _ = writeln!(out, "  {id} {}", finding.title);
        if level == Level::May && detail == Detail::Gaps {
            continue;
        }
        let _ = writeln!(out, "    why: {}", finding.why);
        if let Some(remedy) = &finding.remedy {
            let _ = writeln!(out, "    fix: {remedy}");
        }
        if let Some(since) = &finding.since {
            let _ = writeln!(out, "    since: Linux {since}");
        }
    }
}

/// What is there as a module, and must be loaded before it is of use.
fn modules(out: &mut String, support: &Support) {
    let mut names: Vec<&str> = support
        .requirements
        .iter()
        .filter(|finding| finding.state == State::Module && finding.level != Level::May)
        .filter_map(|finding| finding.change.as_ref())
        .flat_map(|change| &change.modules)
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() {
        let _ = writeln!(
            out,
            "\nThere as modules, to be loaded before use:\n  {}",
            names.join(" ")
        );
    }
}

const fn verdict_code(verdict: SupportVerdict) -> u8 {
    match verdict {
        SupportVerdict::Supported => 32,
        SupportVerdict::SupportedWithGaps => 33,
        SupportVerdict::Unsupported => 31,
    }
}

fn paint(code: u8, text: &str, colour: Colour) -> String {
    match colour {
        Colour::Yes => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        Colour::No => text.to_owned(),
    }
}
