//! Removing what is no longer of use.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use super::id::ContainerId;
use super::options::Malformed;
use super::{Container, Containers, Error, Force};

/// One `--filter KEY=VALUE` of `prune`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PruneFilter {
    /// `until=`: made before this moment.
    Until(Timestamp),
    /// `label=NAME[=VALUE]`.
    Label(String, Option<String>),
    /// `label!=NAME[=VALUE]`.
    NotLabel(String, Option<String>),
}

const EXAMPLE: &str = "`until=24h`, `until=2026-01-31T12:00:00Z`, `label=NAME=VALUE` or \
                       `label!=NAME`";

impl FromStr for PruneFilter {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bad = |why: &str| Malformed::new(format!("`{text}` {why}"), EXAMPLE);
        let (key, value) = text.split_once('=').ok_or_else(|| bad("has no `=`"))?;
        let label = || match value.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (value.to_owned(), None),
        };
        match key {
            "until" => moment(value)
                .map(Self::Until)
                .ok_or_else(|| bad("is neither an age nor a time")),
            "label" => {
                let (name, value) = label();
                Ok(Self::Label(name, value))
            }
            "label!" => {
                let (name, value) = label();
                Ok(Self::NotLabel(name, value))
            }
            _ => Err(bad("has an unknown key")),
        }
    }
}

/// A moment as Docker's users write one: an age (`1h30m`), seconds since 1970, or RFC 3339.
pub fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).ok();
    }
    if let Ok(age) = text.parse::<SignedDuration>() {
        return Timestamp::now().checked_sub(age).ok();
    }
    text.parse().ok()
}

impl PruneFilter {
    /// Whether it takes something that was made then and has these labels.
    pub fn takes(
        &self,
        created: &str,
        labels: &std::collections::BTreeMap<String, String>,
    ) -> bool {
        let has = |name: &str, wanted: &Option<String>| {
            let value = labels.get(name);
            value.is_some_and(|value| wanted.as_ref().is_none_or(|wanted| wanted == value))
        };
        match self {
            Self::Until(moment) => created
                .parse::<Timestamp>()
                .is_ok_and(|made| made < *moment),
            Self::Label(name, value) => has(name, value),
            Self::NotLabel(name, value) => !has(name, value),
        }
    }
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The containers.
    pub containers: Vec<ContainerId>,
    /// Bytes of the files that they had written.
    pub bytes: u64,
}

impl Containers {
    /// Removes all containers that do not run and that every filter takes.
    ///
    /// # Errors
    /// Those of listing and removing. One that was started meanwhile stays.
    pub fn prune(&self, filters: &[PruneFilter]) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        let is_meant = |container: &Container| {
            let config = container.config();
            let mut filters = filters.iter();
            !container.phase().is_live()
                && filters.all(|filter| filter.takes(&config.created, &config.process.labels))
        };
        for container in self.list()?.into_iter().filter(is_meant) {
            let id = container.id().clone();
            // A broken tree is removed like any other.
            let bytes = container.own_bytes().unwrap_or(0);
            match container.remove(Force::No) {
                Ok(()) => {
                    pruned.containers.push(id);
                    pruned.bytes += bytes;
                }
                Err(Error::Running(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(pruned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_an_age_or_a_time() {
        let past = moment("1h30m").unwrap();
        let age = Timestamp::now().duration_since(past).as_secs();
        assert!((5400..5460).contains(&age), "{age}");
        assert_eq!(moment("0"), Some(Timestamp::UNIX_EPOCH));
        assert_eq!(moment("1970-01-01T00:00:00Z"), Some(Timestamp::UNIX_EPOCH));
        assert_eq!(moment("soon"), None);
    }

    #[test]
    fn labels_are_met_by_name_or_by_value() {
        let labels = [("a".to_owned(), "b".to_owned())].into();
        let takes = |text: &str| {
            text.parse::<PruneFilter>()
                .unwrap()
                .takes("2026-01-01T00:00:00Z", &labels)
        };
        assert!(takes("label=a") && takes("label=a=b") && takes("label!=a=c"));
        assert!(!takes("label=a=c") && !takes("label!=a") && !takes("until=1970-01-01T00:00:00Z"));
    }
}
