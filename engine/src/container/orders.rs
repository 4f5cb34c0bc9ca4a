//! What the second form of a monitor is told by the first: words of its command line, as it is to
//! wait without ever having read the container's files.

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::time::Duration;

use super::health::Times;

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
    /// The descriptor that holds the lock of the container's folder.
    pub(super) lock: Option<RawFd>,
    /// How it has been started again so far.
    pub(super) restarted: Restarted,
    /// When to look whether it is well.
    pub(super) health: Option<Times>,
    /// Where its output is kept, as JSON.
    pub(super) log: String,
}

/// How often a container was started again, and how long that was waited for the last time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Restarted {
    pub(super) times: u32,
    pub(super) delay: Duration,
}

impl Restarted {
    /// A word each, as of [`Orders`].
    pub(super) fn to_args(self) -> [OsString; 2] {
        let delay = self.delay.as_millis();
        [
            format!("restarts={}", self.times),
            format!("delay-ms={delay}"),
        ]
        .map(OsString::from)
    }

    /// Takes one of these words. `None`: it is none.
    pub(super) fn take(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "restarts" => self.times = value.parse().ok()?,
            "delay-ms" => self.delay = Duration::from_millis(value.parse().ok()?),
            _ => return None,
        }
        Some(())
    }
}

impl Orders {
    /// A word each: `NAME=VALUE`.
    pub(super) fn to_args(&self) -> Vec<OsString> {
        let mut words = vec![format!("pid={}", self.pid)];
        words.extend(self.console.then(|| "console=".to_owned()));
        words.extend(self.stdin.map(|fd| format!("stdin={fd}")));
        words.extend(self.stdin_once.then(|| "stdin-once=".to_owned()));
        words.extend(self.door.map(|fd| format!("door={fd}")));
        words.extend(self.lock.map(|fd| format!("lock={fd}")));
        words.push(format!("log={}", self.log));
        words.extend(
            self.health
                .map(|times| format!("health={}", times.to_words())),
        );
        let words = words.into_iter().map(OsString::from);
        words.chain(self.restarted.to_args()).collect()
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
                "lock" => orders.lock = Some(value.parse().ok()?),
                "log" => value.clone_into(&mut orders.log),
                "health" => orders.health = Some(Times::from_words(value)?),
                _ => orders.restarted.take(name, value)?,
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
            lock: Some(3),
            restarted: Restarted {
                times: 2,
                delay: Duration::from_millis(200),
            },
            health: Times::from_words("30000,0,5000"),
            log: r#"{"tag":"a=b"}"#.to_owned(),
        };
        assert_eq!(Orders::from_args(&orders.to_args()), Some(orders));
        assert_eq!(Orders::from_args(&["pid=x".into()]), None);
        assert_eq!(Orders::from_args(&[]), None);
    }
}
