//! `.dockerignore`: which files of a folder are no part of a build.

/// The patterns of a `.dockerignore`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    parts: Vec<Vec<char>>,
    meaning: Meaning,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    LeaveOut,
    /// `!`: after all.
    Take,
}

impl Ignore {
    /// Reads it: a pattern a line, `#` begins a comment.
    pub fn parse(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let patterns = text.lines().filter(|line| !line.starts_with('#'));
        let patterns = patterns.map(str::trim).filter(|line| !line.is_empty());
        Self {
            patterns: patterns.filter_map(Pattern::parse).collect(),
        }
    }

    /// Whether files in a folder that is left out may be taken after all.
    pub fn takes_back(&self) -> bool {
        let mut patterns = self.patterns.iter();
        patterns.any(|pattern| pattern.meaning == Meaning::Take)
    }

    /// Whether a file is left out. `path`: from the folder, names with `/` between. The last
    /// pattern that fits it, or a folder above it, decides.
    pub fn leaves_out(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        let mut patterns = self.patterns.iter().rev();
        let last = patterns.find(|pattern| {
            (1..=parts.len()).any(|length| {
                let above = parts.get(..length).unwrap_or_default();
                fits(&pattern.parts, above)
            })
        });
        last.is_some_and(|pattern| pattern.meaning == Meaning::LeaveOut)
    }
}

/// Whether a name of one file fits a pattern of one name: `*`, `?`, `[a-z]`, `[^a-z]`, and `\`
/// before a sign that means itself.
pub fn name_matches(pattern: &str, name: &str) -> bool {
    let chars = |text: &str| text.chars().collect::<Vec<_>>();
    name_fits(&chars(pattern), &chars(name))
}

impl Pattern {
    /// `None`: it is of the folder itself, which is always taken.
    fn parse(line: &str) -> Option<Self> {
        let (meaning, text) = match line.strip_prefix('!') {
            Some(rest) => (Meaning::Take, rest.trim_start()),
            None => (Meaning::LeaveOut, line),
        };
        let mut parts: Vec<Vec<char>> = Vec::new();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part.chars().collect()),
            }
        }
        (!parts.is_empty()).then_some(Self { parts, meaning })
    }
}

/// Whether a whole path fits: `**` stands for any number of names, none included.
fn fits(pattern: &[Vec<char>], path: &[&str]) -> bool {
    // By how much of the pattern fits the names so far; a name after the other.
    let closed = |mut states: Vec<bool>| {
        for (at, part) in pattern.iter().enumerate() {
            if states.get(at) == Some(&true) && *part == ['*', '*'] {
                set(&mut states, at + 1);
            }
        }
        states
    };
    let mut states = vec![false; pattern.len() + 1];
    set(&mut states, 0);
    states = closed(states);
    for name in path {
        let name: Vec<char> = name.chars().collect();
        let mut next = vec![false; pattern.len() + 1];
        for (at, part) in pattern.iter().enumerate() {
            if states.get(at) != Some(&true) {
                continue;
            }
            if *part == ['*', '*'] {
                set(&mut next, at);
            } else if name_fits(part, &name) {
                set(&mut next, at + 1);
            }
        }
        states = closed(next);
    }
    states.last() == Some(&true)
}

fn set(states: &mut [bool], at: usize) {
    if let Some(state) = states.get_mut(at) {
        *state = true;
    }
}

/// Go's `filepath.Match` on one name: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before a sign.
///
/// In steps of at most both lengths multiplied: when a sign does not fit, only the last `*` takes one
/// more, as whatever an earlier one would take more, the last one can take as well.
fn name_fits(mut pattern: &[char], mut name: &[char]) -> bool {
    // What follows the last `*`, and where that was tried.
    let mut last: Option<(&[char], &[char])> = None;
    loop {
        if let ['*', rest @ ..] = pattern {
            pattern = rest;
            last = Some((rest, name));
            continue;
        }
        if pattern.is_empty() && name.is_empty() {
            return true;
        }
        let fitting = name
            .split_first()
            .and_then(|(first, behind)| Some((sign_fits(pattern, *first)?, behind)));
        if let Some(rests) = fitting {
            (pattern, name) = rests;
        } else if let Some((rest, [_, behind @ ..])) = last {
            last = Some((rest, behind));
            (pattern, name) = (rest, behind);
        } else {
            return false;
        }
    }
}

/// If the pattern's first sign, which is no `*`, fits a character: what follows that sign.
fn sign_fits(pattern: &[char], char: char) -> Option<&[char]> {
    match pattern {
        [] => None,
        ['?', rest @ ..] => Some(rest),
        ['[', rest @ ..] => match class(rest, char)? {
            (true, rest) => Some(rest),
            (false, _) => None,
        },
        ['\\', sign, rest @ ..] | [sign, rest @ ..] => (*sign == char).then_some(rest),
    }
}

/// Whether a character is of the class that begins here; and what follows the class. `None`: it
/// has no end.
fn class(mut pattern: &[char], char: char) -> Option<(bool, &[char])> {
    let negated = pattern.first() == Some(&'^');
    if negated {
        pattern = pattern.get(1..)?;
    }
    let mut found = false;
    let mut first = true;
    loop {
        match pattern {
            [']', rest @ ..] if !first => return Some((found != negated, rest)),
            [low, '-', high, rest @ ..] if *high != ']' => {
                found |= (low..=high).contains(&&char);
                pattern = rest;
            }
            ['\\', sign, rest @ ..] | [sign, rest @ ..] => {
                found |= char == *sign;
                pattern = rest;
            }
            [] => return None,
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_leave_out_what_docker_leaves_out() {
        for (patterns, left_out, taken) in [
            (
                "*/temp*",
                "a/temporary.txt a/temp a/temp/x",
                "temp a/b/temp",
            ),
            ("*/*/temp*", "a/b/temp", "a/temp"),
            ("temp?", "tempa tempb/x", "temp tempab"),
            ("**/*.go", "x.go a/x.go a/b/c/x.go", "x.goo"),
            (
                "/foo/bar\nfoo/./baz/",
                "foo/bar foo/baz foo/baz/x",
                "foo foo/barx",
            ),
            ("*.md\n!README.md", "a.md", "README.md b/a.md"),
            (
                "*.md\n!README*.md\nREADME-secret.md",
                "README-secret.md",
                "README.md",
            ),
            ("a\n!a/b", "a a/c", "a/b a/b/c"),
            ("[a-c]x\n[^d]y\n\\*", "bx ey *", "dx dy x"),
            ("a/**/b\n**/c", "a/b a/x/b a/x/y/b c x/c", "b a/bc"),
            ("# comment\n\n.\n/", "", "a # comment"),
        ] {
            let ignore = Ignore::parse(patterns);
            for path in left_out.split_whitespace() {
                assert!(ignore.leaves_out(path), "{patterns:?} takes {path}");
            }
            for path in taken.split_whitespace() {
                assert!(!ignore.leaves_out(path), "{patterns:?} leaves out {path}");
            }
        }
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_age() {
        let ignore = Ignore::parse(&("*a".repeat(40) + "b"));
        assert!(!ignore.leaves_out(&"a".repeat(250)));
        assert!(ignore.leaves_out(&("a".repeat(250) + "b")));
        let long = "?".repeat(1 << 20);
        assert!(Ignore::parse(&long).leaves_out(&long));
    }

    proptest! {
        #[test]
        fn a_path_without_signs_leaves_out_itself_and_what_is_in_it(path in "[a-z]{1,4}(/[a-z]{1,4}){0,3}", name in "[a-z]{1,4}") {
            let ignore = Ignore::parse(&path);
            prop_assert!(ignore.leaves_out(&path));
            let inner = format!("{path}/{name}");
            prop_assert!(ignore.leaves_out(&inner));
            let again = Ignore::parse(&format!("**\n!{path}"));
            prop_assert!(!again.leaves_out(&path));
        }

        #[test]
        fn no_pattern_makes_it_panic(pattern in r"[\[\]^*?!\\/a-c.-]{0,12}", path in "[a-c/]{1,12}") {
            let _ = Ignore::parse(&pattern).leaves_out(&path);
        }
    }
}
