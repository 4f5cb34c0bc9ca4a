//! Globs over names: `*` stands for any run of characters, `?` for one, all else for itself.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A pattern over a whole name; case matters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Glob(String);

impl Glob {
    /// Every text is a pattern; one without `*` and `?` matches itself only.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// Whether the pattern covers all of `name`.
    ///
    /// Linear in the name for each `*`: after a mismatch only the last `*` is tried again, so a
    /// hostile pattern costs at most the product of both lengths.
    pub fn matches(&self, name: &str) -> bool {
        let pattern: Vec<char> = self.0.chars().collect();
        let name: Vec<char> = name.chars().collect();
        let (mut p, mut n) = (0, 0);
        let mut last_star: Option<(usize, usize)> = None;
        while let Some(&wanted) = name.get(n) {
            match pattern.get(p) {
                Some('*') => {
                    last_star = Some((p, n));
                    p += 1;
                }
                Some(&c) if c == '?' || c == wanted => {
                    p += 1;
                    n += 1;
                }
                _ => {
                    let Some((star, start)) = last_star else {
                        return false;
                    };
                    last_star = Some((star, start + 1));
                    p = star + 1;
                    n = start + 1;
                }
            }
        }
        pattern.iter().skip(p).all(|&c| c == '*')
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_characters() {
        for (pattern, name, expected) in [
            ("5.*", "5.10", true),
            ("5.*", "15.10", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("6.?", "6.1", true),
            ("6.?", "6.12", false),
            ("debian-*/6.*/amd64/*", "debian-12/6.1/amd64/vfs/v2", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-", false),
        ] {
            assert_eq!(
                Glob::new(pattern).matches(name),
                expected,
                "{pattern} on {name}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_name_matches_itself_and_any_star_in_it(name in "[a-z0-9./-]{0,12}", at in 0usize..12) {
            prop_assert!(Glob::new(name.clone()).matches(&name));
            let at = at.min(name.len());
            let pattern = format!("{}*", &name[..at]);
            prop_assert!(Glob::new(pattern).matches(&name));
        }
    }
}
