//! Selections: a small language that picks cells.
//!
//! `storage=overlay,btrfs and not kernel=5.*` picks by axis; a word without `=` is a glob over
//! the whole id (`debian-12/*/overlay/*`). `not` binds closer than `and`, `and` closer than
//! `or`; parentheses group. The axes are `id`, `distro`, `release`, `kernel`, `arch`,
//! `storage`, `cgroup` and `target`; `distro` also knows the release (`debian-12`).

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cell::Cell;
use crate::glob::Glob;

/// The axes that a selection can name.
const AXES: [(&str, Axis); 8] = [
    ("id", Axis::Id),
    ("distro", Axis::Distro),
    ("release", Axis::Release),
    ("kernel", Axis::Kernel),
    ("arch", Axis::Arch),
    ("storage", Axis::Storage),
    ("cgroup", Axis::Cgroup),
    ("target", Axis::Target),
];

/// A deeper nesting than any person writes; it bounds the parser's recursion.
const MAX_DEPTH: usize = 64;

/// Which cells are meant. Keeps its text, which is also what is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Selection {
    text: String,
    expression: Expression,
}

/// A text that is no selection, with the column where reading ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{problem} (column {column})\n  {text}\n  {caret:>column$}",
    caret = "^"
)]
pub struct SelectionError {
    text: String,
    /// Counted in characters, from 1.
    column: usize,
    problem: String,
}

impl SelectionError {
    /// The column at fault, counted in characters from 1.
    pub fn column(&self) -> usize {
        self.column
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expression {
    Any(Vec<Expression>),
    All(Vec<Expression>),
    Not(Box<Expression>),
    Axis(Axis, Vec<Glob>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    Id,
    Distro,
    Release,
    Kernel,
    Arch,
    Storage,
    Cgroup,
    Target,
}

impl Selection {
    /// Whether `cell` is meant.
    pub fn matches(&self, cell: &Cell) -> bool {
        self.expression.matches(cell)
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Selection {
    type Err = SelectionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parser = Parser::new(text);
        let expression = parser.any(0)?;
        match parser.next() {
            None => Ok(Self {
                text: text.to_owned(),
                expression,
            }),
            Some(token) => Err(parser.error(
                token.column,
                format!("expected `and`, `or` or the end, found `{}`", token.text),
            )),
        }
    }
}

impl TryFrom<String> for Selection {
    type Error = SelectionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Selection> for String {
    fn from(selection: Selection) -> Self {
        selection.text
    }
}

impl Expression {
    fn matches(&self, cell: &Cell) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.matches(cell)),
            Self::All(parts) => parts.iter().all(|part| part.matches(cell)),
            Self::Not(part) => !part.matches(cell),
            Self::Axis(axis, globs) => globs.iter().any(|glob| axis.holds(glob, cell)),
        }
    }
}

impl Axis {
    fn holds(self, glob: &Glob, cell: &Cell) -> bool {
        match self {
            Self::Id => glob.matches(cell.id.as_str()),
            Self::Distro => {
                let with_release = cell.id.as_str().split('/').next().unwrap_or_default();
                glob.matches(&cell.distro) || glob.matches(with_release)
            }
            Self::Release => glob.matches(&cell.release),
            Self::Kernel => glob.matches(&cell.kernel),
            Self::Arch => glob.matches(cell.arch.name()),
            Self::Storage => glob.matches(cell.storage.name()),
            Self::Cgroup => glob.matches(cell.cgroup.name()),
            Self::Target => glob.matches(cell.target.name()),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    column: usize,
}

/// Recursive descent over words and parentheses, with one token of look-ahead.
struct Parser<'a> {
    text: &'a str,
    tokens: std::iter::Peekable<std::vec::IntoIter<Token<'a>>>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        let mut tokens = Vec::new();
        let mut word: Option<(usize, usize)> = None;
        for (column, (at, c)) in text.char_indices().enumerate() {
            let ends_word = c.is_whitespace() || c == '(' || c == ')';
            if ends_word {
                if let Some((start, column)) = word.take() {
                    tokens.extend(text.get(start..at).map(|text| Token { text, column }));
                }
                if !c.is_whitespace() {
                    let token = text.get(at..at + 1).map(|text| Token {
                        text,
                        column: column + 1,
                    });
                    tokens.extend(token);
                }
            } else if word.is_none() {
                word = Some((at, column + 1));
            }
        }
        if let Some((start, column)) = word {
            tokens.extend(text.get(start..).map(|text| Token { text, column }));
        }
        Self {
            text,
            tokens: tokens.into_iter().peekable(),
        }
    }

    fn next(&mut self) -> Option<Token<'a>> {
        self.tokens.next()
    }

    fn accept(&mut self, keyword: &str) -> bool {
        self.tokens.next_if(|token| token.text == keyword).is_some()
    }

    fn error(&self, column: usize, problem: impl Into<String>) -> SelectionError {
        SelectionError {
            text: self.text.to_owned(),
            column,
            problem: problem.into(),
        }
    }

    fn any(&mut self, depth: usize) -> Result<Expression, SelectionError> {
        let mut parts = vec![self.all(depth)?];
        while self.accept("or") {
            parts.push(self.all(depth)?);
        }
        Ok(Expression::Any(parts))
    }

    fn all(&mut self, depth: usize) -> Result<Expression, SelectionError> {
        let mut parts = vec![self.one(depth)?];
        while self.accept("and") {
            parts.push(self.one(depth)?);
        }
        Ok(Expression::All(parts))
    }

    fn one(&mut self, depth: usize) -> Result<Expression, SelectionError> {
        let end = self.text.chars().count() + 1;
        let Some(token) = self.next() else {
            return Err(self.error(end, "expected a selection, found the end"));
        };
        if depth > MAX_DEPTH {
            return Err(self.error(token.column, "nested too deeply"));
        }
        match token.text {
            "not" => Ok(Expression::Not(Box::new(self.one(depth + 1)?))),
            "(" => {
                let inner = self.any(depth + 1)?;
                match self.next() {
                    Some(token) if token.text == ")" => Ok(inner),
                    other => Err(self.error(
                        other.map_or(end, |token| token.column),
                        format!("expected `)` for the `(` in column {}", token.column),
                    )),
                }
            }
            ")" | "and" | "or" => Err(self.error(
                token.column,
                format!("expected a selection, found `{}`", token.text),
            )),
            word => self.term(word, token.column),
        }
    }

    fn term(&self, word: &str, column: usize) -> Result<Expression, SelectionError> {
        let Some((name, values)) = word.split_once('=') else {
            return Ok(Expression::Axis(Axis::Id, vec![Glob::new(word)]));
        };
        let Some((_, axis)) = AXES.iter().find(|(known, _)| *known == name) else {
            let known = AXES.map(|(name, _)| name).join(", ");
            return Err(self.error(
                column,
                format!("`{name}` is no axis: expected one of {known}"),
            ));
        };
        let mut globs = Vec::new();
        let mut at = column + name.chars().count() + 1;
        for value in values.split(',') {
            if value.is_empty() {
                return Err(self.error(at, format!("expected a value for `{name}`")));
            }
            at += value.chars().count() + 1;
            globs.push(Glob::new(value));
        }
        Ok(Expression::Axis(*axis, globs))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arch::Arch;
    use crate::axis::{CgroupMode, StorageDriver, TargetKind};

    fn cell(kernel: &str, storage: StorageDriver) -> Cell {
        Cell {
            id: format!("debian-12/{kernel}/amd64/{storage}/v2")
                .parse()
                .unwrap(),
            distro: "debian".into(),
            release: "12".into(),
            kernel: kernel.into(),
            arch: Arch::Amd64,
            storage,
            cgroup: CgroupMode::V2,
            target: TargetKind::Micro,
            suites: Vec::new(),
        }
    }

    #[test]
    fn picks_by_axis_glob_and_logic() {
        let cell = cell("6.1", StorageDriver::Overlay);
        for (text, expected) in [
            ("storage=overlay", true),
            ("storage=vfs,overlay", true),
            ("storage=vfs", false),
            ("not storage=vfs", true),
            ("kernel=5.* or kernel=6.*", true),
            ("kernel=6.* and not (storage=overlay or storage=vfs)", false),
            ("not kernel=5.* and storage=overlay", true),
            ("distro=debian and release=12", true),
            ("distro=debian-12", true),
            ("debian-12/*", true),
            ("*/btrfs/*", false),
            ("arch=amd64 and cgroup=v2 and target=micro", true),
            ("id=debian-1?/6.1/amd64/overlay/v2", true),
        ] {
            let selection: Selection = text.parse().unwrap();
            assert_eq!(selection.matches(&cell), expected, "{text}");
        }
    }

    #[test]
    fn an_error_points_at_its_column() {
        for (text, column) in [
            ("", 1),
            ("storage=vfs and", 16),
            ("strage=vfs", 1),
            ("storage=vfs kernel=6.*", 13),
            ("(storage=vfs", 13),
            ("storage=vfs,", 13),
            ("storage=", 9),
            ("kernel=6.* and or", 16),
            ("ä) x", 2),
        ] {
            let error = text.parse::<Selection>().unwrap_err();
            assert_eq!(error.column(), column, "{text}: {error}");
        }
        insta::assert_snapshot!("kernel=6.* and strage=vfs".parse::<Selection>().unwrap_err(), @r"
        `strage` is no axis: expected one of id, distro, release, kernel, arch, storage, cgroup, target (column 16)
          kernel=6.* and strage=vfs
                         ^
        ");
    }

    #[test]
    fn nesting_is_bounded() {
        let text = "(".repeat(100_000);
        assert!(text.parse::<Selection>().is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,60}") {
            drop(text.parse::<Selection>());
        }

        #[test]
        fn not_inverts(kernel in "[0-9.*?]{1,4}") {
            let cell = cell("6.1", StorageDriver::Overlay);
            let plain: Selection = format!("kernel={kernel}").parse().unwrap();
            let inverted: Selection = format!("not kernel={kernel}").parse().unwrap();
            prop_assert_ne!(plain.matches(&cell), inverted.matches(&cell));
        }
    }
}
