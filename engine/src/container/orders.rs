//! What the second form of a monitor is told by the first: words of its command line, as it is to
//! wait without ever having read the container's files.

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;

/// What the second form is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Orders {
    /// The container's first process.
    pub(super) pid: u32,
    /// Its terminal, which is our standard input then.
    pub(super) console: bool,
    /// Where its standard input is filled.
    pub(super) stdin: Option<RawFd>,
    /// Its standard input ends with that of the first who attaches.
    pub(super) stdin_once: bool,
    /// The socket where others attach.
    pub(super) door: Option<RawFd>,
}

impl Orders {
    /// A word each: `NAME=VALUE`.
    pub(super) fn to_args(&self) -> Vec<OsString> {
        let mut words = vec![format!("pid={}", self.pid)];
        words.extend(self.console.then(|| "console=".to_owned()));
        words.extend(self.stdin.map(|fd| format!("stdin={fd}")));
        words.extend(self.stdin_once.then(|| "stdin-once=".to_owned()));
        words.extend(self.door.map(|fd| format!("door={fd}")));
        words.into_iter().map(OsString::from).collect()
    }

    /// `None`: somebody else called us.
    pub(super) fn from_args(args: &[OsString]) -> Option<Self> {
        let mut orders = Self::default();
        for arg in args {
            let (name, value) = OsStr::to_str(arg)?.split_once('=')?;
            match name {
                "pid" => orders.pid = value.parse().ok()?,
                "console" => orders.console = true,
                "stdin" => orders.stdin = Some(value.parse().ok()?),
                "stdin-once" => orders.stdin_once = true,
                "door" => orders.door = Some(value.parse().ok()?),
                _ => return None,
            }
        }
        (orders.pid != 0).then_some(orders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let orders = Orders {
            pid: 7,
            console: true,
            stdin: Some(5),
            stdin_once: true,
            door: Some(6),
        };
        assert_eq!(Orders::from_args(&orders.to_args()), Some(orders));
        assert_eq!(Orders::from_args(&["pid=x".into()]), None);
        assert_eq!(Orders::from_args(&[]), None);
    }
}
