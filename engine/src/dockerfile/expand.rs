//! Variables in words, and the end of quotes: the part of the shell that Dockerfiles have.

use std::iter::Peekable;
use std::str::Chars;

use super::words::Escape;

/// Why a word has no meaning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A quote without its other end.
    #[error("`{word}` has a {quote} without its other end")]
    Unclosed {
        /// The word.
        word: String,
        /// `'`, `"` or `${`.
        quote: &'static str,
    },
    /// `${name` followed by something unknown.
    #[error(
        "`{0}` is not understood: use `$NAME`, `${{NAME}}`, `${{NAME:-default}}`, `${{NAME:+alternative}}` or `${{NAME:?message}}`"
    )]
    Modifier(String),
    /// `${name:?message}` of a variable without value.
    #[error("the variable `{name}` has no value: {message}")]
    Missing {
        /// The variable.
        name: String,
        /// What the word says about it.
        message: String,
    },
    /// Defaults in defaults.
    #[error("variables stand more than {MAX_DEPTH} deep in the defaults of others")]
    TooDeep,
    /// Values of values.
    #[error("a word would have more than {} KiB with the values of its variables in place", MAX_BYTES >> 10)]
    TooLong,
}

/// How deep variables may stand in the defaults of others.
const MAX_DEPTH: u32 = 64;

/// Bytes of a word with all values in place: no process can be given a longer argument or variable
/// (`MAX_ARG_STRLEN`), and `ENV a=$a$a` doubles with every line.
const MAX_BYTES: usize = 128 << 10;

/// Takes quotes and escapes away, and puts the values of variables in their places; `value` gives
/// them, `None` for those that are not set.
///
/// # Errors
/// [`ExpandError`]: the word is malformed, or says itself that a value is missing.
pub fn expand(
    word: &str,
    escape: Escape,
    value: &dyn Fn(&str) -> Option<String>,
) -> Result<String, ExpandError> {
    Expansion::of(word, escape, value, Quotes::Taken).until(None)
}

/// The same in a text in which quotes are signs like any other: a here-document. An escape is one
/// before `$` and itself only.
///
/// # Errors
/// As [`expand`].
pub fn expand_document(
    text: &str,
    escape: Escape,
    value: &dyn Fn(&str) -> Option<String>,
) -> Result<String, ExpandError> {
    Expansion::of(text, escape, value, Quotes::Kept).until(None)
}

/// What becomes of quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    /// They hold words together, and are taken away.
    Taken,
    /// They are part of the text.
    Kept,
}

struct Expansion<'a> {
    word: &'a str,
    rest: Peekable<Chars<'a>>,
    escape: char,
    value: &'a dyn Fn(&str) -> Option<String>,
    /// How many `${` are open.
    depth: u32,
    quotes: Quotes,
}

/// What a variable stands for when it has a value, or has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Modifier {
    /// `-`: the default if there is none.
    Default,
    /// `+`: the alternative if there is one.
    Alternative,
    /// `?`: an error if there is none.
    Demand,
}

impl<'a> Expansion<'a> {
    fn of(
        word: &'a str,
        escape: Escape,
        value: &'a dyn Fn(&str) -> Option<String>,
        quotes: Quotes,
    ) -> Self {
        Self {
            word,
            rest: word.chars().peekable(),
            escape: escape.char(),
            value,
            depth: 0,
            quotes,
        }
    }

    /// Up to `end`, which is taken, or to the end of the word.
    fn until(&mut self, end: Option<char>) -> Result<String, ExpandError> {
        let mut text = String::new();
        while let Some(char) = self.rest.next() {
            match char {
                char if Some(char) == end => return Ok(text),
                '\'' if self.quotes == Quotes::Taken => self.single_quoted(&mut text)?,
                '"' if self.quotes == Quotes::Taken => self.double_quoted(&mut text)?,
                '$' => self.put_variable(&mut text)?,
                char if char == self.escape && self.quotes == Quotes::Kept => {
                    let is_escape = |next: &char| *next == '$' || *next == char;
                    text.push(self.rest.next_if(is_escape).unwrap_or(char));
                }
                char if char == self.escape => text.extend(self.rest.next()),
                char => text.push(char),
            }
        }
        match end {
            None => Ok(text),
            Some(_) => Err(self.unclosed("`${`")),
        }
    }

    fn single_quoted(&mut self, text: &mut String) -> Result<(), ExpandError> {
        for char in self.rest.by_ref() {
            if char == '\'' {
                return Ok(());
            }
            text.push(char);
        }
        Err(self.unclosed("single quote"))
    }

    fn double_quoted(&mut self, text: &mut String) -> Result<(), ExpandError> {
        while let Some(char) = self.rest.next() {
            match char {
                '"' => return Ok(()),
                '$' => self.put_variable(text)?,
                char if char == self.escape => {
                    // Only before these is it an escape; elsewhere it means itself.
                    let is_escape = |next: &char| matches!(next, '"' | '$') || *next == char;
                    match self.rest.next_if(is_escape) {
                        Some(next) => text.push(next),
                        None => text.push(char),
                    }
                }
                char => text.push(char),
            }
        }
        Err(self.unclosed("double quote"))
    }

    /// Behind a `$`.
    fn put_variable(&mut self, text: &mut String) -> Result<(), ExpandError> {
        let value = self.variable()?;
        if text.len() + value.len() > MAX_BYTES {
            return Err(ExpandError::TooLong);
        }
        *text += &value;
        Ok(())
    }

    fn variable(&mut self) -> Result<String, ExpandError> {
        if self.rest.next_if_eq(&'{').is_none() {
            let name = self.name();
            return Ok(if name.is_empty() {
                "$".to_owned()
            } else {
                (self.value)(&name).unwrap_or_default()
            });
        }
        let name = self.name();
        let mut next = self.rest.next();
        if next == Some('}') && !name.is_empty() {
            return Ok((self.value)(&name).unwrap_or_default());
        }
        // With a colon an empty value counts as none.
        let mut value = (self.value)(&name);
        if next == Some(':') {
            value = value.filter(|value| !value.is_empty());
            next = self.rest.next();
        }
        let modifier = match next {
            Some('-') => Modifier::Default,
            Some('+') => Modifier::Alternative,
            Some('?') => Modifier::Demand,
            None => return Err(self.unclosed("`${`")),
            Some(_) => return Err(ExpandError::Modifier(self.word.to_owned())),
        };
        if name.is_empty() {
            return Err(ExpandError::Modifier(self.word.to_owned()));
        }
        if self.depth == MAX_DEPTH {
            return Err(ExpandError::TooDeep);
        }
        self.depth += 1;
        let other = self.until(Some('}'))?;
        self.depth -= 1;
        match (modifier, value) {
            (Modifier::Default, value) => Ok(value.unwrap_or(other)),
            (Modifier::Alternative, Some(_)) => Ok(other),
            (Modifier::Alternative, None) => Ok(String::new()),
            (Modifier::Demand, Some(value)) => Ok(value),
            (Modifier::Demand, None) => Err(ExpandError::Missing {
                name,
                message: other,
            }),
        }
    }

    /// Letters, figures and `_`.
    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(char) = self
            .rest
            .next_if(|char| char.is_ascii_alphanumeric() || *char == '_')
        {
            name.push(char);
        }
        name
    }

    fn unclosed(&self, quote: &'static str) -> ExpandError {
        ExpandError::Unclosed {
            word: self.word.to_owned(),
            quote,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(name: &str) -> Option<String> {
        match name {
            "set" => Some("value".to_owned()),
            "empty" => Some(String::new()),
            _ => None,
        }
    }

    fn expanded(word: &str) -> Result<String, ExpandError> {
        expand(word, Escape::Backslash, &value)
    }

    #[test]
    fn variables_stand_for_their_values() {
        for (word, expected) in [
            ("a$set-b", "avalue-b"),
            ("a${set}b", "avalueb"),
            ("$none", ""),
            ("${set:-x}${none:-x}${empty:-x}", "valuexx"),
            ("${set-x}${none-x}${empty-x}", "valuex"),
            ("${set:+x}${none:+x}${empty:+x}", "x"),
            ("${set+x}${none+x}${empty+x}", "xx"),
            ("${none:-a ${set} $none'}'}", "a value }"),
            ("${set:?message}", "value"),
            ("$", "$"),
            ("a$/b", "a$/b"),
        ] {
            assert_eq!(expanded(word).as_deref(), Ok(expected), "{word}");
        }
    }

    #[test]
    fn quotes_and_escapes_are_taken_away() {
        for (word, expected) in [
            (r"'$set' \$set \\", r"$set $set \"),
            (r#""$set \$set \a \"""#, r#"value $set \a ""#),
            (r"a\ b", "a b"),
            (r#"a"b"'c'd"#, "abcd"),
            (r"'\'", r"\"),
        ] {
            assert_eq!(expanded(word).as_deref(), Ok(expected), "{word}");
        }
        assert_eq!(
            expand(r"C:\`$set", Escape::Backquote, &value).unwrap(),
            r"C:\$set"
        );
    }

    #[test]
    fn a_document_keeps_its_quotes() {
        let text = "'$set' \"${none:-x}\" \\$set \\n it's";
        let expanded = expand_document(text, Escape::Backslash, &value);
        assert_eq!(expanded.unwrap(), "'value' \"x\" $set \\n it's");
    }

    #[test]
    fn what_has_no_meaning_is_refused() {
        for word in ["'a", "\"a", "${set", "${set:-a"] {
            assert!(
                matches!(expanded(word), Err(ExpandError::Unclosed { .. })),
                "{word}"
            );
        }
        for word in ["${}", "${set/a/b}", "${set:}", "${:-x}"] {
            assert!(
                matches!(expanded(word), Err(ExpandError::Modifier(_))),
                "{word}"
            );
        }
        let missing = expanded("${none:?give $set}").unwrap_err();
        assert_eq!(
            missing.to_string(),
            "the variable `none` has no value: give value"
        );
    }

    #[test]
    fn words_are_bounded_in_depth_and_length() {
        let nested = |depth| "${none:-".repeat(depth) + "x" + &"}".repeat(depth);
        assert_eq!(expanded(&nested(64)).as_deref(), Ok("x"));
        assert_eq!(expanded(&nested(65)), Err(ExpandError::TooDeep));
        // So deep, it would be the end of the stack.
        assert_eq!(expanded(&nested(1 << 20)), Err(ExpandError::TooDeep));
        let long = |_: &str| Some("x".repeat(MAX_BYTES / 2));
        assert!(expand("$a$a", Escape::Backslash, &long).is_ok());
        for word in ["$a$a$a", "\"$a$a$a\"", "${b:+$a$a$a}"] {
            let error = expand(word, Escape::Backslash, &long);
            assert_eq!(error, Err(ExpandError::TooLong), "{word}");
        }
    }

    proptest! {
        #[test]
        fn single_quotes_keep_everything(text in "[^']*") {
            prop_assert_eq!(expanded(&format!("'{text}'")), Ok(text));
        }

        #[test]
        fn an_escape_before_every_character_keeps_it(text in ".*") {
            let escaped: String = text.chars().flat_map(|char| ['\\', char]).collect();
            prop_assert_eq!(expanded(&escaped), Ok(text));
        }

        #[test]
        fn a_value_is_not_looked_at_again(text in ".*") {
            let known = |name: &str| (name == "x").then(|| text.clone());
            prop_assert_eq!(expand("$x", Escape::Backslash, &known), Ok(text.clone()));
            prop_assert_eq!(expand("\"${x}\"", Escape::Backslash, &known), Ok(text.clone()));
        }

        #[test]
        fn no_text_makes_it_panic(text in r#"[${}:+?'"\\ab-]{0,20}"#) {
            drop(expanded(&text));
        }
    }
}
