//! `--restart on-failure:3`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Malformed;

/// Whether a container is started again when it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RestartPolicy {
    /// It is not.
    #[default]
    No,
    /// When its exit code is not 0.
    OnFailure {
        /// So many times; `None`: without end.
        at_most: Option<u32>,
    },
    /// Whatever its exit code.
    Always,
    /// The same, and not after a reboot if it had been stopped before.
    UnlessStopped,
}

/// Whether somebody asked it to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Somebody did.
    Yes,
    /// It ended by itself.
    No,
}

impl RestartPolicy {
    /// Docker's name of it, without the number.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure { .. } => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }

    /// How many times at most; 0: without end, or never.
    pub fn maximum_retry_count(self) -> u32 {
        match self {
            Self::OnFailure { at_most } => at_most.unwrap_or(0),
            Self::No | Self::Always | Self::UnlessStopped => 0,
        }
    }

    /// Whether it starts again when it has just ended, having been restarted so often.
    pub fn after_end(self, code: u8, asked: Asked, restarts: u32) -> bool {
        if asked == Asked::Yes {
            return false;
        }
        match self {
            Self::No => false,
            Self::OnFailure { at_most } => code != 0 && at_most.is_none_or(|most| restarts < most),
            Self::Always | Self::UnlessStopped => true,
        }
    }

    /// Whether it starts again after a reboot. As Docker documents, a failure is no reason then,
    /// and `always` forgets that it had been stopped.
    pub fn after_boot(self, asked: Asked) -> bool {
        match self {
            Self::No | Self::OnFailure { .. } => false,
            Self::Always => true,
            Self::UnlessStopped => asked == Asked::No,
        }
    }
}

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
const HEALTHY_RUN: Duration = Duration::from_secs(10);

/// How long to wait before the next restart: twice as long as before the last (zero: there was
/// none), and at first again when it has run for ten seconds.
pub fn next_delay(last: Duration, ran: Duration) -> Duration {
    if ran >= HEALTHY_RUN || last.is_zero() {
        return FIRST_DELAY;
    }
    last.saturating_mul(2).min(LONGEST_DELAY)
}

impl FromStr for RestartPolicy {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bad = |why: &str| {
            Malformed::new(
                format!("`{text}` {why}"),
                "`no`, `on-failure`, `on-failure:3`, `always` or `unless-stopped`",
            )
        };
        match text.split_once(':') {
            Some(("on-failure", number)) => {
                let number: u32 = number.parse().map_err(|_| bad("has no number"))?;
                // Docker's users write 0 for "without end".
                let at_most = Some(number).filter(|&number| number > 0);
                Ok(Self::OnFailure { at_most })
            }
            Some(_) => Err(bad("has a number, which only `on-failure` takes")),
            None => match text {
                "no" | "" => Ok(Self::No),
                "on-failure" => Ok(Self::OnFailure { at_most: None }),
                "always" => Ok(Self::Always),
                "unless-stopped" => Ok(Self::UnlessStopped),
                _ => Err(bad("is no restart policy")),
            },
        }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnFailure { at_most: Some(n) } => write!(f, "on-failure:{n}"),
            Self::No | Self::OnFailure { at_most: None } | Self::Always | Self::UnlessStopped => {
                f.write_str(self.name())
            }
        }
    }
}

impl TryFrom<String> for RestartPolicy {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<RestartPolicy> for String {
    fn from(policy: RestartPolicy) -> Self {
        policy.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(text: &str) -> RestartPolicy {
        text.parse().unwrap()
    }

    #[test]
    fn policies_are_written_as_docker_writes_them() {
        for text in [
            "no",
            "on-failure",
            "on-failure:3",
            "always",
            "unless-stopped",
        ] {
            assert_eq!(policy(text).to_string(), text);
        }
        assert_eq!(policy("on-failure:0"), policy("on-failure"));
        for text in ["never", "always:3", "on-failure:", "on-failure:-1"] {
            assert!(text.parse::<RestartPolicy>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_end_is_followed_by_a_start_as_the_policy_has_it() {
        let again = |text: &str, code, restarts| policy(text).after_end(code, Asked::No, restarts);
        assert!(!again("no", 1, 0));
        assert!(again("always", 0, 99));
        assert!(again("unless-stopped", 0, 0));
        assert!(again("on-failure", 1, 99));
        assert!(!again("on-failure", 0, 0));
        assert!(again("on-failure:2", 1, 1));
        assert!(!again("on-failure:2", 1, 2));
    }

    #[test]
    fn a_boot_starts_what_is_promised() {
        let boot = |text: &str, asked| policy(text).after_boot(asked);
        assert!(boot("always", Asked::Yes));
        assert!(boot("unless-stopped", Asked::No));
        assert!(!boot("unless-stopped", Asked::Yes));
        assert!(!boot("on-failure", Asked::No));
        assert!(!boot("no", Asked::No));
    }

    #[test]
    fn delays_double_from_a_tenth_of_a_second_to_a_minute() {
        let short = Duration::from_secs(1);
        let mut delay = Duration::ZERO;
        let mut delays = Vec::new();
        for _ in 0..12 {
            delay = next_delay(delay, short);
            delays.push(delay.as_millis());
        }
        assert_eq!(delays[..4], [100, 200, 400, 800]);
        assert_eq!(delays[9..], [51_200, 60_000, 60_000]);
        assert_eq!(next_delay(delay, Duration::from_secs(10)), FIRST_DELAY);
    }

    proptest! {
        #[test]
        fn whoever_asks_a_container_to_end_is_obeyed(code: u8, restarts: u32, which in 0..4_usize) {
            let policy = policy(["no", "on-failure", "always", "unless-stopped"][which]);
            prop_assert!(!policy.after_end(code, Asked::Yes, restarts));
        }
    }
}
