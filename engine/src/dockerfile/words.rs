//! Cutting the text behind an instruction: words with their quotes, and lists of strings in JSON.

/// The character that takes the next one's meaning away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Escape {
    /// `\`
    #[default]
    Backslash,
    /// The back quote, for paths of Windows: `# escape=` and a back quote in the first line.
    Backquote,
}

impl Escape {
    /// The character.
    pub const fn char(self) -> char {
        match self {
            Self::Backslash => '\\',
            Self::Backquote => '`',
        }
    }
}

/// Cuts at spaces that are neither quoted nor escaped. Quotes and escapes stay in the words, for
/// [`expand()`](super::expand()) to take away.
pub fn words(text: &str, escape: Escape) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match quote {
            None if char.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if char == '\'' || char == '"' => quote = Some(char),
            Some(open) if char == open => quote = None,
            None | Some(_) => {}
        }
        word.push(char);
        // Between single quotes everything means itself.
        if char == escape.char() && quote != Some('\'') {
            word.extend(chars.next());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// What a list of strings in JSON holds.
///
/// `None`: the text is no such list, and then means itself, as Docker has it: `CMD [ -f /x ]` is a
/// command of the shell.
pub fn strings(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    if text.starts_with('[') {
        serde_json::from_str(text).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(text: &str) -> Vec<String> {
        words(text, Escape::Backslash)
    }

    #[test]
    fn spaces_cut_unless_quoted_or_escaped() {
        assert_eq!(cut(" a  b\tc "), ["a", "b", "c"]);
        assert_eq!(cut(r#"a="b c" d"#), [r#"a="b c""#, "d"]);
        assert_eq!(cut(r"a='b \' c'"), [r"a='b \'", "c'"]);
        assert_eq!(cut(r"a\ b c"), [r"a\ b", "c"]);
        assert_eq!(cut(r#""a\" b" c"#), [r#""a\" b""#, "c"]);
        assert_eq!(words(r"C:\ x", Escape::Backquote), [r"C:\", "x"]);
    }

    #[test]
    fn only_lists_of_strings_are_lists() {
        assert_eq!(strings(r#" ["a", "b c"] "#).unwrap(), ["a", "b c"]);
        assert_eq!(strings("[]").unwrap(), Vec::<String>::new());
        for text in ["", "a", "[ -f /x ]", "['a']", "[1]", r#"["a"] b"#] {
            assert_eq!(strings(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_spaces_is_lost(text in r#"[ab'"\\ \t$]{0,30}"#) {
            let kept = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(kept(&cut(&text).concat()), kept(&text));
        }

        #[test]
        fn words_without_signs_are_cut_and_joined_again(list in prop::collection::vec("[a-z=.]{1,5}", 0..6)) {
            prop_assert_eq!(cut(&list.join(" ")), list);
        }

        #[test]
        fn any_list_survives_json(list in prop::collection::vec(".*", 0..5)) {
            prop_assert_eq!(strings(&serde_json::to_string(&list).unwrap()), Some(list));
        }
    }
}
