//! What a person reads.

use std::fmt::Write as _;

use super::{Diagnosis, Health};
use crate::render::Colour;

/// A line for each thing, and below it what to do.
pub fn render(diagnosis: &Diagnosis, colour: Colour) -> String {
    let mut out = String::new();
    for check in &diagnosis.checks {
        let (code, word) = match check.state {
            Health::Ok => (32, "ok"),
            Health::Warning => (33, "warning"),
            Health::Missing => (31, "missing"),
        };
        let word = match colour {
            Colour::Yes => format!("\u{1b}[{code}m{word:<7}\u{1b}[0m"),
            Colour::No => format!("{word:<7}"),
        };
        // Writing into a String cannot fail.
        let _ = writeln!(out, "{word}  {:<18}  {}", check.name, check.found);
        if let Some(remedy) = &check.remedy {
            let _ = writeln!(out, "         {:<18}  it {}", "", check.purpose);
            let _ = writeln!(out, "         {:<18}  to do: {remedy}", "");
        }
    }
    let verdict = if diagnosis.ready {
        "This machine can certify."
    } else {
        "This machine can't certify yet: do what is said above."
    };
    let _ = writeln!(out, "\n{verdict}");
    out
}
