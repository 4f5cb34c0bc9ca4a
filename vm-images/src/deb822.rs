//! Paragraphs of `Field: value` lines: Debian's control files, package lists, Release files and
//! `.sources` files (deb822(5)).

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

/// The longest paragraph that is read, in bytes. The longest one in Debian's lists is a Release
/// file's, of 200 KB.
const MAX_PARAGRAPH: u64 = 4 << 20;

/// One paragraph. Field names are compared without regard to case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paragraph {
    fields: BTreeMap<String, String>,
}

impl Paragraph {
    /// Reads the first paragraph of a text; lines that are no field are left out.
    pub fn parse(text: &str) -> Self {
        let mut paragraph = Self::default();
        let mut last = None;
        for line in text.lines().skip_while(|line| line.trim().is_empty()) {
            if line.trim().is_empty() {
                break;
            }
            paragraph.take_line(line, &mut last);
        }
        paragraph
    }

    fn take_line(&mut self, line: &str, last: &mut Option<String>) {
        if line.starts_with('#') {
            return;
        }
        if line.starts_with([' ', '\t']) {
            let field = last.as_ref().and_then(|name| self.fields.get_mut(name));
            if let Some(value) = field {
                value.push('\n');
                value.push_str(line.trim());
            }
            return;
        }
        *last = line.split_once(':').map(|(name, value)| {
            let name = name.trim().to_ascii_lowercase();
            self.fields.insert(name.clone(), value.trim().to_owned());
            name
        });
    }

    /// The value of a field; its continuation lines follow, trimmed, after `\n` each.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.fields
            .get(&field.to_ascii_lowercase())
            .map(String::as_str)
    }

    /// The words of a field's value; none if there is no such field.
    pub fn words(&self, field: &str) -> impl Iterator<Item = &str> {
        self.get(field).unwrap_or_default().split_whitespace()
    }
}

/// All paragraphs of a text.
pub fn paragraphs(text: &str) -> Vec<Paragraph> {
    let mut all = Vec::new();
    let mut current = Paragraph::default();
    let mut last = None;
    for line in text.lines().chain([""]) {
        if line.trim().is_empty() {
            last = None;
            if !current.fields.is_empty() {
                all.push(std::mem::take(&mut current));
            }
        } else {
            current.take_line(line, &mut last);
        }
    }
    all
}

/// Hands out those paragraphs of a package list whose `Package` field's value `wanted` accepts,
/// reading the list once and holding one paragraph in memory.
///
/// # Errors
///
/// What reading gives, and [`io::ErrorKind::InvalidData`] where a paragraph is longer than 4 MiB
/// or no UTF-8.
pub fn select_packages(
    mut list: impl BufRead,
    wanted: impl Fn(&str) -> bool,
    mut take: impl FnMut(Paragraph),
) -> io::Result<()> {
    let mut text = Vec::new();
    let mut line = Vec::new();
    let mut keep = false;
    loop {
        line.clear();
        let length = list
            .by_ref()
            .take(MAX_PARAGRAPH)
            .read_until(b'\n', &mut line)?;
        if line.trim_ascii().is_empty() {
            if keep {
                let text = std::str::from_utf8(&text)
                    .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
                take(Paragraph::parse(text));
            }
            text.clear();
            keep = false;
            if length == 0 {
                return Ok(());
            }
            continue;
        }
        if let Some(name) = line.strip_prefix(b"Package:") {
            keep = std::str::from_utf8(name).is_ok_and(|name| wanted(name.trim()));
        }
        // `Package` comes first in every list that is made; before it nothing needs keeping.
        if keep {
            text.extend_from_slice(&line);
        }
        if text.len() as u64 > MAX_PARAGRAPH {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a paragraph is longer than 4 MiB",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn continuation_lines_belong_to_their_field() {
        let paragraph = Paragraph::parse(
            "\nSuite: sid\n# a comment\nSHA256:\n abc 1 x\n def 2 y\nDate: now\n\nSuite: other\n",
        );
        assert_eq!(paragraph.get("sha256"), Some("\nabc 1 x\ndef 2 y"));
        assert_eq!(paragraph.get("Suite"), Some("sid"));
        assert_eq!(paragraph.words("Nothing").count(), 0);
    }

    #[test]
    fn only_the_wanted_packages_are_taken() {
        let list = "Package: a\nVersion: 1\n\nPackage: linux-image-b\nVersion: 2\nDepends: x,\n y\n\n\nPackage: linux-image-c\nVersion: 3";
        let mut versions = Vec::new();
        select_packages(
            list.as_bytes(),
            |name| name.starts_with("linux-"),
            |p| versions.push(p.get("version").unwrap().to_owned()),
        )
        .unwrap();
        assert_eq!(versions, ["2", "3"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(?s).{0,300}") {
            let all = paragraphs(&text);
            prop_assert!(all.iter().all(|p| !p.fields.is_empty()));
            drop(select_packages(text.as_bytes(), |_| true, drop));
        }

        #[test]
        fn fields_survive_printing(fields in proptest::collection::btree_map("[a-z][a-z-]{0,8}", "[!-~]{1,20}", 1..6)) {
            let text: String = fields.iter().flat_map(|(k, v)| [k, ": ", v, "\n"]).collect();
            prop_assert_eq!(paragraphs(&text), vec![Paragraph { fields }]);
        }
    }
}
