//! Targets of fuzzing: Dockerfiles.
#![expect(
    clippy::missing_panics_doc,
    reason = "a panic is how each of them tells of a broken promise"
)]

use super::{Changes, ConfigInstruction, Escape, Ignore, Source, expand, strings, words};
use crate::fuzz::text;
use crate::image::config::RunConfig;

/// A Dockerfile is cut into instructions in the order of its lines; each means something or is
/// refused, and all together make a configuration.
pub fn dockerfile(data: &[u8]) {
    let text = text(data);
    let Ok(source) = Source::parse(&text) else {
        return;
    };
    assert!(!source.lines.is_empty());
    let ordered = |two: &[super::Line]| matches!(two, [a, b] if a.number < b.number);
    assert!(source.lines.windows(2).all(ordered), "{source:?}");
    let mut config = RunConfig::default();
    let mut changes = Changes::of(&mut config);
    for line in &source.lines {
        drop(words(&line.text, source.escape));
        drop(strings(&line.text));
        let value = |name: &str| changes.variable(name);
        if let Ok(instruction) = ConfigInstruction::parse(&line.text, source.escape, &value) {
            changes.make(instruction);
        }
    }
}

/// A word is expanded, and what is in single quotes or comes from a variable means itself.
pub fn expansion(data: &[u8]) {
    let text = text(data);
    let value = |name: &str| (!name.starts_with('u')).then(|| text.to_string());
    for escape in [Escape::Backslash, Escape::Backquote] {
        drop(expand(&text, escape, &value));
        if !text.contains('\'') {
            let quoted = expand(&format!("'{text}'"), escape, &value);
            assert_eq!(quoted.as_deref(), Ok(&*text));
        }
    }
}

/// The first line is a path, the rest are patterns; a last pattern that fits everything decides.
pub fn dockerignore(data: &[u8]) {
    let text = text(data);
    let (path, patterns) = text.split_once('\n').unwrap_or((&text, ""));
    let _ = Ignore::parse(patterns).leaves_out(path);
    assert!(Ignore::parse(&format!("{patterns}\n**")).leaves_out(path));
    assert!(!Ignore::parse(&format!("{patterns}\n!**")).leaves_out(path));
}
