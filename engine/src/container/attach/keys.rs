//! `--detach-keys ctrl-p,ctrl-q`: what is typed to leave a container without ending it.

use std::fmt;
use std::str::FromStr;

use crate::container::options::Malformed;

/// Keys that, typed one after the other, mean "leave". Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

/// The bytes 0 to 31 by the keys that give them.
const CONTROL: &[u8; 32] = b"@abcdefghijklmnopqrstuvwxyz[\\]^_";
const DELETE: u8 = 127;

impl Default for DetachKeys {
    /// `ctrl-p,ctrl-q`.
    fn default() -> Self {
        Self(vec![0x10, 0x11])
    }
}

impl FromStr for DetachKeys {
    type Err = Malformed;

    /// Docker's notation: keys with commas between, each a character, `ctrl-` and one of
    /// `a-z @ [ \ ] ^ _`, or `DEL`. Nothing at all means the default.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
        keys.map(Self).ok_or_else(|| {
            Malformed::new(
                format!("`{}` is no sequence of keys", text.escape_debug()),
                "keys with commas between, such as `ctrl-p,ctrl-q` or `ctrl-a,x`",
            )
        })
    }
}

fn key(name: &str) -> Option<u8> {
    if let &[byte] = name.as_bytes() {
        return Some(byte);
    }
    if name == "DEL" {
        return Some(DELETE);
    }
    let &[letter] = name.strip_prefix("ctrl-")?.as_bytes() else {
        return None;
    };
    let code = CONTROL.iter().position(|&control| control == letter)?;
    u8::try_from(code).ok()
}

impl fmt::Display for DetachKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, &byte) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            match CONTROL.get(usize::from(byte)) {
                Some(&letter) => write!(f, "ctrl-{}", char::from(letter))?,
                None if byte == DELETE => f.write_str("DEL")?,
                None => write!(f, "{}", char::from(byte))?,
            }
        }
        Ok(())
    }
}

/// Looks for the keys in what is typed.
#[derive(Debug)]
pub(super) struct Watch {
    keys: Vec<u8>,
    /// What has been typed of them: held back, as the next key decides whom it is for.
    held: Vec<u8>,
}

/// Whether the keys were typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Typed {
    /// All of them: what follows is not for the container.
    Detach,
    /// Not all of them yet.
    GoOn,
}

impl Watch {
    pub(super) fn new(keys: DetachKeys) -> Self {
        Self {
            keys: keys.0,
            held: Vec::new(),
        }
    }

    /// Takes what was typed, and gives what of it is for the container.
    pub(super) fn pass(&mut self, typed: &[u8]) -> (Vec<u8>, Typed) {
        let mut passed = Vec::with_capacity(typed.len());
        for &byte in typed {
            self.held.push(byte);
            while !self.keys.starts_with(&self.held) {
                passed.push(self.held.remove(0));
            }
            if self.held == self.keys {
                self.held.clear();
                return (passed, Typed::Detach);
            }
        }
        (passed, Typed::GoOn)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn watch(keys: &str) -> Watch {
        Watch::new(keys.parse().unwrap())
    }

    #[test]
    fn keys_are_written_as_docker_writes_them() {
        let keys = |text: &str| text.parse::<DetachKeys>().unwrap();
        assert_eq!(keys("ctrl-a,x").0, [1, b'x']);
        assert_eq!(keys("ctrl-@,ctrl-[,ctrl-_,DEL").0, [0, 27, 31, 127]);
        assert_eq!(keys("").to_string(), "ctrl-p,ctrl-q");
        for text in ["ctrl-", "ctrl-A", "ctrl-1", "ab", "a,,b", "ctrl-pq", "é"] {
            assert!(text.parse::<DetachKeys>().is_err(), "{text}");
        }
    }

    #[test]
    fn keys_are_found_across_reads_and_what_comes_before_is_passed_on() {
        let mut watch = watch("ctrl-p,ctrl-q");
        assert_eq!(watch.pass(b"ls\x10"), (b"ls".to_vec(), Typed::GoOn));
        assert_eq!(watch.pass(b"\x11rest"), (Vec::new(), Typed::Detach));
    }

    #[test]
    fn a_beginning_that_goes_on_otherwise_was_meant_for_the_container() {
        let mut watch = watch("a,a,b");
        assert_eq!(watch.pass(b"aac"), (b"aac".to_vec(), Typed::GoOn));
        assert_eq!(watch.pass(b"aaab"), (b"a".to_vec(), Typed::Detach));
    }

    proptest! {
        #[test]
        fn parse_undoes_print(bytes in prop::collection::vec((0..128_u8).prop_filter("a comma separates", |&b| b != b','), 1..5)) {
            let keys = DetachKeys(bytes);
            prop_assert_eq!(keys.to_string().parse::<DetachKeys>().unwrap(), keys);
        }

        #[test]
        fn nothing_is_lost_until_all_keys_have_come(typed in prop::collection::vec(0..4_u8, 0..40)) {
            let mut watch = Watch::new(DetachKeys(vec![1, 2, 1]));
            let (passed, found) = watch.pass(&typed);
            let at = typed.windows(3).position(|three| three == [1, 2, 1]);
            prop_assert_eq!(found == Typed::Detach, at.is_some());
            let whole = match at {
                Some(at) => typed[..at].to_vec(),
                None => typed.clone(),
            };
            let mut seen = passed;
            seen.extend(&watch.held);
            prop_assert_eq!(seen, whole);
        }
    }
}
