//! `--ulimit nofile=1024:2048`.

use std::str::FromStr;

use oci_spec::runtime::{PosixRlimit, PosixRlimitBuilder, PosixRlimitType};
use serde::{Deserialize, Serialize};

use super::Malformed;

/// One resource limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    name: String,
    soft: u64,
    hard: u64,
}

const EXAMPLE: &str = "`NAME=SOFT[:HARD]` such as `nofile=1024:2048` or `core=-1` (no limit)";

impl Ulimit {
    fn kind(name: &str) -> Option<PosixRlimitType> {
        Some(match name {
            "as" => PosixRlimitType::RlimitAs,
            "core" => PosixRlimitType::RlimitCore,
            "cpu" => PosixRlimitType::RlimitCpu,
            "data" => PosixRlimitType::RlimitData,
            "fsize" => PosixRlimitType::RlimitFsize,
            "locks" => PosixRlimitType::RlimitLocks,
            "memlock" => PosixRlimitType::RlimitMemlock,
            "msgqueue" => PosixRlimitType::RlimitMsgqueue,
            "nice" => PosixRlimitType::RlimitNice,
            "nofile" => PosixRlimitType::RlimitNofile,
            "nproc" => PosixRlimitType::RlimitNproc,
            "rss" => PosixRlimitType::RlimitRss,
            "rtprio" => PosixRlimitType::RlimitRtprio,
            "rttime" => PosixRlimitType::RlimitRttime,
            "sigpending" => PosixRlimitType::RlimitSigpending,
            "stack" => PosixRlimitType::RlimitStack,
            _ => return None,
        })
    }

    /// The limit as Docker's documents show it.
    pub fn inspect(&self) -> serde_json::Value {
        // No limit is -1 there.
        let number = |limit: u64| i64::try_from(limit).unwrap_or(-1);
        serde_json::json!({
            "Name": self.name,
            "Soft": number(self.soft),
            "Hard": number(self.hard),
        })
    }

    /// The limit in the spec's terms; `None` if the name, read from a file that somebody
    /// edited, is unknown.
    pub fn rlimit(&self) -> Option<PosixRlimit> {
        PosixRlimitBuilder::default()
            .typ(Self::kind(&self.name)?)
            .soft(self.soft)
            .hard(self.hard)
            .build()
            .ok()
    }
}

impl FromStr for Ulimit {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bad = |why: &str| Malformed::new(format!("`{text}` {why}"), EXAMPLE);
        let (name, values) = text.split_once('=').ok_or_else(|| bad("has no `=`"))?;
        if Self::kind(name).is_none() {
            return Err(bad("names no limit of Linux"));
        }
        let value = |text: &str| match text {
            "-1" | "unlimited" => Ok(u64::MAX),
            _ => text.parse().map_err(|_| bad("is not a number")),
        };
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        let (soft, hard) = (value(soft)?, value(hard)?);
        if soft > hard {
            return Err(bad("has a soft limit above the hard one"));
        }
        Ok(Self {
            name: name.to_owned(),
            soft,
            hard,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_is_both_limits() {
        let limit = "nofile=64".parse::<Ulimit>().unwrap().rlimit().unwrap();
        assert_eq!((limit.soft(), limit.hard()), (64, 64));
        let limit = "core=0:-1".parse::<Ulimit>().unwrap().rlimit().unwrap();
        assert_eq!((limit.soft(), limit.hard()), (0, u64::MAX));
    }

    #[test]
    fn contradictions_and_unknown_names_are_refused() {
        for text in ["nofile", "nofile=2:1", "files=3", "nofile=x", "nofile="] {
            assert!(text.parse::<Ulimit>().is_err(), "{text}");
        }
    }
}
