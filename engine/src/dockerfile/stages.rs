//! A Dockerfile as a whole: stages, each of which begins with `FROM`.

use super::config_instruction::InstructionError;
use super::instruction::{options, split_name};
use super::source::{Line, Source, SourceError};
use super::words::{Escape, words};

/// Why a text has no stages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StagesError {
    /// It cannot be cut into instructions.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An instruction before the first `FROM`.
    #[error("line {0}: only `ARG` may stand before the first `FROM`")]
    BeforeFrom(usize),
    /// A `FROM` that has no meaning.
    #[error("line {line}: {source}")]
    From {
        /// Where.
        line: usize,
        /// What is wrong.
        source: InstructionError,
    },
    /// Nothing to build on.
    #[error("it has no `FROM`: begin with the image to build on, or with `FROM scratch`")]
    NoFrom,
}

/// A Dockerfile's stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stages {
    /// `# escape=`.
    pub escape: Escape,
    /// `ARG` instructions before the first `FROM`.
    pub arguments: Vec<Line>,
    /// The stages, of which there is one at least.
    pub stages: Vec<Stage>,
}

/// One stage. Variables in it have no values yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The `FROM`.
    pub from: Line,
    /// What is built on.
    pub base: String,
    /// `--platform`.
    pub platform: Option<String>,
    /// `AS`, in small letters.
    pub name: Option<String>,
    /// The instructions behind it.
    pub lines: Vec<Line>,
}

impl Stages {
    /// Reads a file's text.
    ///
    /// # Errors
    /// [`StagesError`] names the line.
    pub fn parse(text: &str) -> Result<Self, StagesError> {
        let source = Source::parse(text)?;
        let mut all = Self {
            escape: source.escape,
            arguments: Vec::new(),
            stages: Vec::new(),
        };
        for line in source.lines {
            let (name, rest) = split_name(&line.text);
            if name.eq_ignore_ascii_case("FROM") {
                let stage = Stage::parse(rest, all.escape, &line);
                let number = line.number;
                all.stages.push(stage.map_err(|source| StagesError::From {
                    line: number,
                    source,
                })?);
            } else if let Some(stage) = all.stages.last_mut() {
                stage.lines.push(line);
            } else if name.eq_ignore_ascii_case("ARG") {
                all.arguments.push(line);
            } else {
                return Err(StagesError::BeforeFrom(line.number));
            }
        }
        if all.stages.is_empty() {
            return Err(StagesError::NoFrom);
        }
        Ok(all)
    }

    /// Which stage `text` means, by name or number, among those before the stage `before`. The last
    /// of a name counts.
    pub fn find(&self, text: &str, before: usize) -> Option<usize> {
        let name = text.to_ascii_lowercase();
        let earlier = self.stages.get(..before)?;
        let named = |stage: &Stage| stage.name.as_ref() == Some(&name);
        earlier.iter().rposition(named).or_else(|| {
            let number = text.parse().ok()?;
            (number < before).then_some(number)
        })
    }
}

impl Line {
    /// What a `COPY --from` names.
    pub fn source(&self) -> Option<&str> {
        let (name, rest) = split_name(&self.text);
        let (options, _) = options(rest);
        let mut from = options.into_iter().filter(|(option, _)| *option == "from");
        from.next().filter(|_| name.eq_ignore_ascii_case("COPY"))?.1
    }
}

impl Stage {
    /// What its instructions copy from: stages and images.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(Line::source)
    }

    fn parse(rest: &str, escape: Escape, line: &Line) -> Result<Self, InstructionError> {
        let wrong = |why: String| InstructionError::Arguments {
            instruction: "FROM",
            why,
        };
        let (options, rest) = options(rest);
        let mut platform = None;
        for (name, value) in options {
            match (name, value) {
                ("platform", Some(value)) => platform = Some(value.to_owned()),
                _ => return Err(wrong(format!("there is no option `--{name}` here"))),
            }
        }
        let words = words(rest, escape);
        let (base, name) = match words.as_slice() {
            [base] => (base, None),
            [base, word, name] if word.eq_ignore_ascii_case("AS") => {
                let name = name.to_ascii_lowercase();
                let starts = name.starts_with(|char: char| char.is_ascii_lowercase());
                let is_part = |char: char| char.is_ascii_alphanumeric() || "_.-".contains(char);
                if !starts || !name.chars().all(is_part) {
                    return Err(wrong(format!("`{name}` is no name of a stage")));
                }
                (base, Some(name))
            }
            _ => return Err(wrong("write `FROM IMAGE` or `FROM IMAGE AS NAME`".into())),
        };
        Ok(Self {
            from: line.clone(),
            base: base.clone(),
            platform,
            name,
            lines: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_begin_with_from() {
        let text =
            "ARG v=1\nFROM a:$v AS Build\nRUN x\nFROM --platform=linux/amd64 b\nCMD y\nENV z=1";
        let all = Stages::parse(text).unwrap();
        assert_eq!(all.arguments.len(), 1);
        let shape: Vec<_> = all
            .stages
            .iter()
            .map(|stage| {
                (
                    stage.base.as_str(),
                    stage.name.as_deref(),
                    stage.lines.len(),
                )
            })
            .collect();
        assert_eq!(shape, [("a:$v", Some("build"), 1), ("b", None, 2)]);
        assert_eq!(all.stages[1].platform.as_deref(), Some("linux/amd64"));
        assert_eq!(all.find("BUILD", 1), Some(0));
        assert_eq!(all.find("0", 1), Some(0));
        assert_eq!(all.find("build", 0), None);
        assert_eq!(all.find("1", 1), None);
    }

    #[test]
    fn what_is_no_dockerfile_is_refused() {
        let refused = |text: &str| Stages::parse(text).unwrap_err().to_string();
        insta::assert_snapshot!(
            ["ARG x", "RUN x\nFROM a", "FROM", "FROM a b", "FROM a AS 1x", "FROM --link a", "# x"]
                .map(refused)
                .join("\n"),
            @r"
        it has no `FROM`: begin with the image to build on, or with `FROM scratch`
        line 1: only `ARG` may stand before the first `FROM`
        line 1: FROM: write `FROM IMAGE` or `FROM IMAGE AS NAME`
        line 1: FROM: write `FROM IMAGE` or `FROM IMAGE AS NAME`
        line 1: FROM: `1x` is no name of a stage
        line 1: FROM: there is no option `--link` here
        there is no instruction in it
        "
        );
    }
}
