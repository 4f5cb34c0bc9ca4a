//! The instructions of a stage: those that make files, those that run, and those that only change
//! the configuration.

use super::config_instruction::{Command, ConfigInstruction, InstructionError};
use super::expand::{expand, expand_document};
use super::source::{Expand, Line};
use super::words::{Escape, strings, words};

/// One instruction of a stage, with the values of variables in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// Names for values that a build may be given, with their defaults.
    Arg(Vec<(String, Option<String>)>),
    /// `COPY` and `ADD`.
    Transfer(Transfer),
    /// A command that is run now; what it changes is kept.
    Run(Command),
    /// Who made the image.
    Maintainer(String),
    /// All others.
    Config(ConfigInstruction),
}

/// Files that an instruction brings into the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// What becomes of archives.
    pub archives: Archives,
    /// `--from`: a stage or an image; `None`: the context.
    pub from: Option<String>,
    /// `--chown`: `USER[:GROUP]`.
    pub owner: Option<String>,
    /// `--chmod`.
    pub mode: Option<u32>,
    /// Patterns of files.
    pub sources: Vec<String>,
    /// Files whose contents stand in the Dockerfile: names and contents.
    pub documents: Vec<(String, String)>,
    /// The path in the image, as it was written: a `/` at its end matters.
    pub to: String,
}

/// What becomes of archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archives {
    /// They are files like any other: `COPY`.
    Keep,
    /// Their contents are brought in: `ADD`.
    Unpack,
}

/// What gives variables their values; `None`: it is not set.
pub type Values<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Instruction {
    /// Reads one.
    ///
    /// # Errors
    /// [`InstructionError`].
    pub fn parse(line: &Line, escape: Escape, value: Values<'_>) -> Result<Self, InstructionError> {
        let (name, rest) = split_name(&line.text);
        let upper = name.to_ascii_uppercase();
        let parts = |instruction| Parts {
            instruction,
            rest,
            line,
            escape,
            value,
        };
        match upper.as_str() {
            "ARG" => parts("ARG").names().map(Self::Arg),
            "COPY" => parts("COPY").transfer(Archives::Keep).map(Self::Transfer),
            "ADD" => parts("ADD").transfer(Archives::Unpack).map(Self::Transfer),
            "RUN" => parts("RUN").command().map(Self::Run),
            "MAINTAINER" if rest.is_empty() => Err(parts("MAINTAINER").wrong("nothing follows it")),
            "MAINTAINER" => Ok(Self::Maintainer(rest.to_owned())),
            _ => match ConfigInstruction::parse(&line.text, escape, value) {
                Err(InstructionError::Unknown(name)) => Err(InstructionError::NoInstruction(name)),
                config => config.map(Self::Config),
            },
        }
    }
}

/// An instruction's name, and what follows it.
pub(super) fn split_name(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (name, rest.trim())
}

/// The options at the beginning of `text`, as name and value, and what follows them.
pub(super) fn options(text: &str) -> (Vec<(&str, Option<&str>)>, &str) {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(option) = rest.strip_prefix("--") {
        let end = option.find(char::is_whitespace).unwrap_or(option.len());
        let (option, behind) = option.split_at(end);
        found.push(match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        });
        rest = behind.trim_start();
    }
    (found, rest)
}

struct Parts<'a> {
    instruction: &'static str,
    rest: &'a str,
    line: &'a Line,
    escape: Escape,
    value: Values<'a>,
}

impl Parts<'_> {
    fn wrong(&self, why: impl Into<String>) -> InstructionError {
        InstructionError::Arguments {
            instruction: self.instruction,
            why: why.into(),
        }
    }

    fn expanded(&self, word: &str) -> Result<String, InstructionError> {
        expand(word, self.escape, self.value).map_err(|error| self.wrong(error.to_string()))
    }

    /// `NAME[=default] …`
    fn names(&self) -> Result<Vec<(String, Option<String>)>, InstructionError> {
        let words = words(self.rest, self.escape);
        if words.is_empty() {
            return Err(self.wrong("nothing follows it"));
        }
        let one = |word: &String| {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name, Some(self.expanded(default)?)),
                None => (word.as_str(), None),
            };
            let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
            if name.is_empty() || !name.chars().all(is_part) {
                return Err(self.wrong(format!("`{name}` is no name of a variable")));
            }
            Ok((name.to_owned(), default))
        };
        words.iter().map(one).collect()
    }

    fn transfer(&self, archives: Archives) -> Result<Transfer, InstructionError> {
        let (options, rest) = options(self.rest);
        let mut transfer = Transfer {
            archives,
            from: None,
            owner: None,
            mode: None,
            sources: Vec::new(),
            documents: Vec::new(),
            to: String::new(),
        };
        for (name, value) in options {
            let value = || {
                let missing = || self.wrong(format!("`--{name}` has no `=` and value"));
                value.filter(|value| !value.is_empty()).ok_or_else(missing)
            };
            match (name, archives) {
                ("from", Archives::Keep) => transfer.from = Some(value()?.to_owned()),
                ("chown", _) => transfer.owner = Some(self.expanded(value()?)?),
                ("chmod", _) => transfer.mode = Some(self.mode(&self.expanded(value()?)?)?),
                // It allows layers to be made apart from those below, which they are anyway.
                ("link", _) => {}
                ("checksum", Archives::Unpack) => {
                    return Err(self.wrong(
                        "`--checksum` is about what is fetched from elsewhere, and nothing is: \
                         fetch it beforehand, and copy it",
                    ));
                }
                _ => return Err(self.wrong(format!("there is no option `--{name}` here"))),
            }
        }
        let mut all = match strings(rest) {
            Some(list) => list,
            None => words(rest, self.escape),
        };
        if !self.line.documents.is_empty() {
            all.retain(|word| !word.starts_with("<<"));
        }
        let mut all = all
            .iter()
            .map(|word| self.expanded(word))
            .collect::<Result<Vec<_>, _>>()?;
        for document in &self.line.documents {
            let text = match document.expand {
                Expand::Yes => expand_document(&document.text, self.escape, self.value)
                    .map_err(|error| self.wrong(error.to_string()))?,
                Expand::No => document.text.clone(),
            };
            transfer.documents.push((document.name.clone(), text));
        }
        transfer.to = all.pop().unwrap_or_default();
        transfer.sources = all;
        if transfer.sources.is_empty() && transfer.documents.is_empty() {
            return Err(self.wrong("it takes at least a source and a destination"));
        }
        if transfer.to.is_empty() || transfer.sources.iter().any(String::is_empty) {
            return Err(self.wrong("a path is empty"));
        }
        if let Some(url) = transfer.sources.iter().find(|source| is_remote(source)) {
            return Err(self.wrong(format!(
                "`{url}` is not here, and a build fetches nothing: fetch it beforehand, and copy it"
            )));
        }
        Ok(transfer)
    }

    fn mode(&self, text: &str) -> Result<u32, InstructionError> {
        let mode = u32::from_str_radix(text, 8).ok();
        let mode = mode.filter(|mode| *mode <= 0o7777);
        mode.ok_or_else(|| self.wrong(format!("`--chmod={text}` is no octal mode such as `755`")))
    }

    fn command(&self) -> Result<Command, InstructionError> {
        let (options, rest) = options(self.rest);
        for (name, value) in options {
            match (name, value) {
                ("network", Some("none" | "default")) => {}
                ("network", _) => {
                    return Err(self.wrong("a build has no network: `--network=none`"));
                }
                _ => return Err(self.wrong(format!("there is no option `--{name}` here"))),
            }
        }
        if rest.is_empty() {
            return Err(self.wrong("nothing follows it"));
        }
        let documents = &self.line.documents;
        match documents.as_slice() {
            [] => Ok(Command::parse(rest)),
            // The document alone is the script.
            [script] if rest.starts_with("<<") && rest.split_whitespace().count() == 1 => {
                if script.text.starts_with("#!") {
                    return Err(self.wrong(
                        "a here-document is run by the shell, whatever its first line says: \
                         name the program, as in `RUN python3 <<EOF`",
                    ));
                }
                Ok(Command::Shell(script.text.clone()))
            }
            documents => {
                let mut text = format!("{rest}\n");
                for document in documents {
                    text += &document.text;
                    text += &document.name;
                    text.push('\n');
                }
                Ok(Command::Shell(text))
            }
        }
    }
}

fn is_remote(source: &str) -> bool {
    ["http://", "https://", "git://", "git@", "ssh://"]
        .iter()
        .any(|scheme| source.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dockerfile::Source;

    fn parse(text: &str) -> Result<Instruction, InstructionError> {
        let source = Source::parse(text).unwrap();
        let value = |name: &str| (name == "x").then(|| "of x".to_owned());
        Instruction::parse(&source.lines[0], source.escape, &value)
    }

    fn transfer(text: &str) -> Transfer {
        let Instruction::Transfer(transfer) = parse(text).unwrap() else {
            panic!("{text} brings in nothing");
        };
        transfer
    }

    #[test]
    fn a_copy_has_options_sources_and_a_destination() {
        let all = transfer("COPY --from=build --chown=$x:1 --chmod=0750 --link a \"b c\" $x/");
        assert_eq!(
            all,
            Transfer {
                archives: Archives::Keep,
                from: Some("build".into()),
                owner: Some("of x:1".into()),
                mode: Some(0o750),
                sources: vec!["a".into(), "b c".into()],
                documents: vec![],
                to: "of x/".into(),
            }
        );
        let list = transfer(r#"add ["a b", "c", "/d"]"#);
        assert_eq!(list.archives, Archives::Unpack);
        assert_eq!((list.sources.len(), list.to.as_str()), (2, "/d"));
    }

    #[test]
    fn here_documents_are_files_or_scripts() {
        let copied = transfer("COPY <<a <<'b' c /d/\n'$x'\na\n$x\nb\n");
        assert_eq!(copied.sources, ["c"]);
        let document = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(
            copied.documents,
            [document("a", "'of x'\n"), document("b", "$x\n")]
        );
        let run = |text: &str| parse(text).unwrap();
        let shell = |text: &str| Instruction::Run(Command::Shell(text.to_owned()));
        assert_eq!(run("RUN <<E\necho $x\nE"), shell("echo $x\n"));
        assert_eq!(
            run("RUN cat <<'E' >/f\n$x\nE"),
            shell("cat <<'E' >/f\n$x\nE\n")
        );
    }

    #[test]
    fn names_may_have_defaults() {
        let expected = vec![
            ("a".to_owned(), None),
            ("b".to_owned(), Some("of x".to_owned())),
        ];
        assert_eq!(parse("ARG a b=$x").unwrap(), Instruction::Arg(expected));
    }

    #[test]
    fn what_has_no_meaning_is_refused_with_its_reason() {
        let refused = |text: &str| parse(text).unwrap_err().to_string();
        insta::assert_snapshot!(
            [
                "FRMO small",
                "ARG",
                "ARG a-b=1",
                "COPY a",
                "COPY a \"\"",
                "COPY --from= a b",
                "COPY --chmod=u+x a b",
                "COPY --parents a b",
                "ADD --from=x a b",
                "ADD https://example.org/a /b",
                "ADD --checksum=sha256:1 a /b",
                "RUN",
                "RUN --network=host x",
                "RUN --mount=type=cache,target=/x true",
                "RUN <<E\n#!/bin/python\nE",
                "MAINTAINER",
            ]
            .map(refused)
            .join("\n")
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(name in "RUN|COPY|ADD|ARG", rest in r#"[-a-z=<$\["\\ /]{0,40}"#) {
            let line = Line { number: 1, text: format!("{name} {rest}"), documents: vec![] };
            drop(Instruction::parse(&line, Escape::Backslash, &|_| None));
        }
    }
}
