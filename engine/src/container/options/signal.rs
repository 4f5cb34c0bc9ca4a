//! Signals by name and number: `TERM`, `SIGTERM`, `15`, `SIGRTMIN+3`.

use std::fmt;
use std::str::FromStr;

use nix::libc;
use serde::{Deserialize, Serialize};

use super::Malformed;

/// A signal's number, 1 to 64: real-time signals (systemd stops at `SIGRTMIN+3`) have no names in
/// [`nix::sys::signal::Signal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signal(i32);

/// The kernel's; glibc takes 32 and 33 for itself and starts at 34.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

impl Signal {
    /// Ends, cannot be caught.
    pub const KILL: Self = Self(libc::SIGKILL);
    /// Asks to end.
    pub const TERM: Self = Self(libc::SIGTERM);

    /// The number.
    pub fn number(self) -> i32 {
        self.0
    }
}

impl FromStr for Signal {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bad = || {
            Malformed::new(
                format!("`{text}` is not a signal"),
                "a name such as `TERM` or `SIGKILL`, or a number from 1 to 64",
            )
        };
        if let Ok(number) = text.parse::<i32>() {
            return if (1..=RTMAX).contains(&number) {
                Ok(Self(number))
            } else {
                Err(bad())
            };
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(offset) = name.strip_prefix("RTMIN") {
            let offset = if offset.is_empty() {
                Ok(0)
            } else {
                offset.parse()
            };
            return match offset {
                Ok(offset @ 0..=30) => Ok(Self(RTMIN + offset)),
                _ => Err(bad()),
            };
        }
        if let Some(offset) = name.strip_prefix("RTMAX") {
            let offset = if offset.is_empty() {
                Ok(0)
            } else {
                offset.parse()
            };
            return match offset {
                Ok(offset @ -30..=0) => Ok(Self(RTMAX + offset)),
                _ => Err(bad()),
            };
        }
        nix::sys::signal::Signal::from_str(&format!("SIG{name}"))
            .map(|signal| Self(signal as i32))
            .map_err(|_| bad())
    }
}

impl TryFrom<String> for Signal {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Signal> for String {
    fn from(signal: Signal) -> Self {
        signal.to_string()
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match nix::sys::signal::Signal::try_from(self.0) {
            Ok(signal) => f.write_str(signal.as_str()),
            Err(_) if self.0 < RTMIN => self.0.fmt(f), // 32 and 33 have no name.
            Err(_) => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_mean_the_same() {
        for text in ["15", "TERM", "term", "SIGTERM"] {
            assert_eq!(text.parse(), Ok(Signal::TERM), "{text}");
        }
        assert_eq!("SIGRTMIN+3".parse::<Signal>().unwrap().number(), 37);
        assert_eq!("RTMAX-1".parse::<Signal>().unwrap().number(), 63);
        for text in ["0", "65", "-9", "SIGNOTHING", "", "RTMIN+31", "SIG"] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
    }

    #[test]
    fn parse_undoes_print_for_every_signal() {
        for number in 1..=64 {
            let signal: Signal = number.to_string().parse().unwrap();
            assert_eq!(signal.to_string().parse(), Ok(signal));
        }
    }
}
