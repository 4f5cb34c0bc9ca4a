//! From a file's text to instructions: parser directives, comments, continued lines and
//! here-documents.

use super::words::Escape;

/// Why a text is no Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// `# escape=` and something else than a backslash or back quote.
    #[error("line {line}: `escape={value}` is neither `\\` nor a back quote")]
    Escape {
        /// Where, from 1.
        line: usize,
        /// What was given.
        value: String,
    },
    /// The same directive again.
    #[error("line {line}: the directive `{name}` is given twice")]
    Twice {
        /// Where.
        line: usize,
        /// Which.
        name: String,
    },
    /// `<<NAME` without a line `NAME`.
    #[error("line {line}: the here-document `{name}` has no end: a line `{name}` is missing")]
    Unended {
        /// Where it begins.
        line: usize,
        /// What would end it.
        name: String,
    },
    /// Nothing but comments.
    #[error("there is no instruction in it")]
    Empty,
}

/// A here-document: lines behind an instruction that are a file of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HereDocument {
    /// What ends it, and what the file is called.
    pub name: String,
    /// The lines.
    pub text: String,
    /// Whether variables have their values put in: not if the name was quoted.
    pub expand: Expand,
}

/// Whether variables have their values put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expand {
    /// They have.
    Yes,
    /// The text means itself.
    No,
}

/// One instruction, its lines joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it begins, from 1.
    pub number: usize,
    /// Its text without comments and ends of lines.
    pub text: String,
    /// The here-documents that follow it, in order.
    pub documents: Vec<HereDocument>,
}

/// A Dockerfile, cut into instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `# escape=`, for words too.
    pub escape: Escape,
    /// The instructions, in order.
    pub lines: Vec<Line>,
}

impl Source {
    /// Cuts a text. A byte order mark and ends of lines of Windows are fine.
    ///
    /// # Errors
    /// [`SourceError`] names the line.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let all: Vec<&str> = text.lines().collect();
        let (escape, directives) = directives(&all)?;
        let mut rest = all.iter().copied().enumerate().skip(directives);
        let mut lines = Vec::new();
        while let Some((at, first)) = rest.next() {
            if is_comment(first) || first.trim().is_empty() {
                continue;
            }
            let mut line = Line {
                number: at + 1,
                text: String::new(),
                documents: Vec::new(),
            };
            let mut part = Some(first);
            while let Some(text) = part {
                match continued(text, escape) {
                    None => {
                        line.text += text;
                        break;
                    }
                    Some(start) => line.text += start,
                }
                // Comments and empty lines between the parts are left out.
                part = rest
                    .by_ref()
                    .map(|(_, text)| text)
                    .find(|text| !is_comment(text) && !text.trim().is_empty());
            }
            let trimmed = line.text.trim().to_owned();
            line.text = trimmed;
            for opening in openings(&line.text) {
                let mut body = String::new();
                let end = rest.by_ref().find(|(_, text)| {
                    let text = opening.unindented(text);
                    if text == opening.name {
                        return true;
                    }
                    body += text;
                    body.push('\n');
                    false
                });
                if end.is_none() {
                    return Err(SourceError::Unended {
                        line: line.number,
                        name: opening.name,
                    });
                }
                line.documents.push(HereDocument {
                    name: opening.name,
                    text: body,
                    expand: opening.expand,
                });
            }
            lines.push(line);
        }
        if lines.is_empty() {
            return Err(SourceError::Empty);
        }
        Ok(Self { escape, lines })
    }
}

/// Reads the directives, which stand before anything else; and says how many lines they take.
fn directives(lines: &[&str]) -> Result<(Escape, usize), SourceError> {
    let mut escape = None;
    let mut seen: Vec<String> = Vec::new();
    for (at, text) in lines.iter().enumerate() {
        let directive = text
            .trim()
            .strip_prefix('#')
            .and_then(|text| text.split_once('='));
        let Some((name, value)) = directive else {
            return Ok((escape.unwrap_or_default(), at));
        };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if !matches!(name.as_str(), "syntax" | "escape" | "check") {
            return Ok((escape.unwrap_or_default(), at)); // A comment.
        }
        if seen.contains(&name) {
            return Err(SourceError::Twice { line: at + 1, name });
        }
        if name == "escape" {
            escape = Some(match value {
                "\\" => Escape::Backslash,
                "`" => Escape::Backquote,
                _ => {
                    return Err(SourceError::Escape {
                        line: at + 1,
                        value: value.to_owned(),
                    });
                }
            });
        }
        seen.push(name);
    }
    Ok((escape.unwrap_or_default(), lines.len()))
}

fn is_comment(text: &str) -> bool {
    text.trim_start().starts_with('#')
}

/// What stands before the sign at its end that the next line goes on with it.
fn continued(text: &str, escape: Escape) -> Option<&str> {
    text.trim_end().strip_suffix(escape.char())
}

/// The beginning of a here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Opening {
    name: String,
    expand: Expand,
    tabs: Tabs,
}

/// What becomes of tabs at the beginning of its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tabs {
    Keep,
    /// `<<-`
    Remove,
}

impl Opening {
    fn unindented<'a>(&self, text: &'a str) -> &'a str {
        match self.tabs {
            Tabs::Keep => text,
            Tabs::Remove => text.trim_start_matches('\t'),
        }
    }

    /// Reads what follows `<<`; and gives the rest.
    fn read(text: &str) -> Option<(Self, &str)> {
        let (tabs, text) = match text.strip_prefix('-') {
            Some(rest) => (Tabs::Remove, rest),
            None => (Tabs::Keep, text),
        };
        let quote = text
            .chars()
            .next()
            .filter(|char| matches!(char, '"' | '\''));
        let is_part = |char: char| char.is_ascii_alphanumeric() || "_.-".contains(char);
        let (name, rest) = if let Some(quote) = quote {
            text.get(1..)?.split_once(quote)?
        } else {
            text.split_at(text.find(|char| !is_part(char)).unwrap_or(text.len()))
        };
        let fits = name.chars().all(is_part);
        let opening = Self {
            name: name.to_owned(),
            expand: if quote.is_some() {
                Expand::No
            } else {
                Expand::Yes
            },
            tabs,
        };
        (fits && !name.is_empty()).then_some((opening, rest))
    }
}

/// The here-documents that an instruction begins: only those that take files or commands can.
/// `<<<` is the shell's own, and what is quoted is no beginning.
fn openings(text: &str) -> Vec<Opening> {
    let name = text.split_whitespace().next().unwrap_or_default();
    let mut rest = text.get(name.len()..).unwrap_or_default();
    let takes = ["RUN", "COPY", "ADD"].iter();
    if !takes
        .into_iter()
        .any(|known| name.eq_ignore_ascii_case(known))
    {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut quote = None;
    while let Some(char) = rest.chars().next() {
        if quote.is_none() {
            if let Some(behind) = rest.strip_prefix("<<<") {
                rest = behind;
                continue;
            }
            if let Some((opening, behind)) = rest.strip_prefix("<<").and_then(Opening::read) {
                found.push(opening);
                rest = behind;
                continue;
            }
        }
        quote = match (quote, char) {
            (None, '"' | '\'') => Some(char),
            (Some(open), _) if open == char => None,
            (quote, _) => quote,
        };
        rest = rest.get(char.len_utf8()..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(text: &str) -> Vec<(usize, String)> {
        let source = Source::parse(text).unwrap();
        let lines = source.lines.into_iter();
        lines.map(|line| (line.number, line.text)).collect()
    }

    #[test]
    fn lines_are_joined_and_comments_left_out() {
        let text =
            "# a comment\nFROM a\n\n  RUN one \\\n# between\n\n  && two \\  \n  && three\r\nCMD x";
        assert_eq!(
            texts(text),
            [
                (2, "FROM a".to_owned()),
                (4, "RUN one   && two   && three".to_owned()),
                (9, "CMD x".to_owned()),
            ]
        );
    }

    #[test]
    fn directives_stand_first_and_once() {
        let source = Source::parse("# syntax=x/y:1\n#Escape = `\nRUN a `\n b\\\n").unwrap();
        assert_eq!(source.escape, Escape::Backquote);
        assert_eq!(source.lines[0].text, "RUN a  b\\");
        // After a comment it is a comment.
        let source = Source::parse("# comment\n# escape=`\nRUN a\\\nb").unwrap();
        assert_eq!(source.escape, Escape::Backslash);
        assert_eq!(source.lines[0].text, "RUN ab");
        let refused = |text: &str| Source::parse(text).unwrap_err().to_string();
        insta::assert_snapshot!(
            [
                "# escape=x\nFROM a",
                "# escape=`\n# escape=`\nFROM a",
                "# only a comment",
                "FROM a\nRUN <<EOF\necho",
            ]
            .map(refused)
            .join("\n"),
            @r"
        line 1: `escape=x` is neither `\` nor a back quote
        line 2: the directive `escape` is given twice
        there is no instruction in it
        line 2: the here-document `EOF` has no end: a line `EOF` is missing
        "
        );
    }

    #[test]
    fn here_documents_belong_to_their_instruction() {
        let text = "COPY <<a.txt <<-'B C' <<-\"b\" /dest/\none $x\n# no comment \\\na.txt\n\
                    \ttwo $x\n\tb\nRUN echo <<<here '<<no' 1<<2\n2\nENV <<EOF";
        let source = Source::parse(text).unwrap();
        let document = |name: &str, text: &str, expand| HereDocument {
            name: name.to_owned(),
            text: text.to_owned(),
            expand,
        };
        assert_eq!(
            source.lines[0].documents,
            [
                document("a.txt", "one $x\n# no comment \\\n", Expand::Yes),
                document("b", "two $x\n", Expand::No),
            ]
        );
        assert_eq!(source.lines[1].documents, [document("2", "", Expand::Yes)]);
        assert_eq!(source.lines[2].documents, []);
        assert_eq!(source.lines.len(), 3);
    }

    proptest! {
        #[test]
        fn one_line_each_is_read_as_it_stands(words in prop::collection::vec("[A-Z]{1,6} [a-z=/]{1,20}", 1..10)) {
            let lines: Vec<String> = Source::parse(&words.join("\n")).unwrap()
                .lines.into_iter().map(|line| line.text).collect();
            prop_assert_eq!(lines, words);
        }

        #[test]
        fn where_a_line_is_broken_does_not_matter(words in prop::collection::vec("[a-z]{1,6}", 1..10)) {
            let whole = format!("RUN {}", words.join(" "));
            let broken = format!("RUN {}", words.join(" \\\n"));
            prop_assert_eq!(texts(&whole), texts(&broken));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[ #=\\\\`<\"'a-cR\n\tUNé-]{0,60}") {
            drop(Source::parse(&text));
        }
    }
}
