//! Which containers are meant: `--filter`.

use std::str::FromStr;

use super::options::Malformed;
use super::{Container, Error, Phase, Verdict};
use crate::image::reference::Reference;

/// One `--filter KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// `id=`: its id starts so.
    Id(String),
    /// `name=`: its name holds this; `^` and `$` stand for its ends.
    Name(String),
    /// `label=NAME[=VALUE]`.
    Label(String, Option<String>),
    /// `status=`.
    Status(Phase),
    /// `exited=CODE`.
    Exited(u8),
    /// `ancestor=IMAGE`: a name or the start of an id.
    Ancestor(String),
    /// `before=CONTAINER`: made before that one.
    Before(String),
    /// `since=CONTAINER`: made after that one.
    Since(String),
    /// `health=`; `None`: nobody looks.
    Health(Option<Verdict>),
    /// `volume=`: something is mounted from there, or there.
    Volume(String),
}

const EXAMPLE: &str = "`status=exited`, `name=web`, `label=NAME=VALUE`, or one of id, exited, \
                       ancestor, before, since, health, volume";

impl FromStr for Filter {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bad = |why: &str| Malformed::new(format!("`{text}` {why}"), EXAMPLE);
        let (key, value) = text.split_once('=').ok_or_else(|| bad("has no `=`"))?;
        let owned = value.to_owned();
        Ok(match key {
            "id" => Self::Id(owned),
            "name" => Self::Name(owned),
            "label" => match value.split_once('=') {
                Some((name, value)) => Self::Label(name.to_owned(), Some(value.to_owned())),
                None => Self::Label(owned, None),
            },
            "status" => {
                let phase = Phase::ALL.into_iter().find(|phase| phase.as_str() == value);
                Self::Status(phase.ok_or_else(|| {
                    bad("is no status: created, running, paused, restarting, exited")
                })?)
            }
            "exited" => Self::Exited(value.parse().map_err(|_| bad("is no exit code"))?),
            "health" if value == "none" => Self::Health(None),
            "health" => {
                let verdict = Verdict::ALL.into_iter().find(|one| one.as_str() == value);
                let verdict = verdict
                    .ok_or_else(|| bad("is no health: starting, healthy, unhealthy, none"))?;
                Self::Health(Some(verdict))
            }
            "ancestor" => Self::Ancestor(owned),
            "before" => Self::Before(owned),
            "since" => Self::Since(owned),
            "volume" => Self::Volume(owned),
            _ => return Err(bad("has an unknown key")),
        })
    }
}

/// Several filters. Of one key, any may hold, but for labels, which must all be there; of
/// different keys, all must.
#[derive(Debug)]
pub struct Selection<'a> {
    filters: &'a [Filter],
    /// When the containers that `before` and `since` name were made, in the filters' order.
    times: Vec<Option<String>>,
}

impl<'a> Selection<'a> {
    /// Understands the filters, among these containers.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a container that `before` or `since` names.
    pub fn new(filters: &'a [Filter], all: &[Container]) -> Result<Self, Error> {
        let time = |filter: &Filter| match filter {
            Filter::Before(given) | Filter::Since(given) => {
                let known = all.iter().find(|container| is_called(container, given));
                let known = known.ok_or_else(|| Error::NotFound(given.clone()))?;
                Ok(Some(known.config().created.clone()))
            }
            Filter::Id(_)
            | Filter::Name(_)
            | Filter::Label(..)
            | Filter::Status(_)
            | Filter::Exited(_)
            | Filter::Ancestor(_)
            | Filter::Health(_)
            | Filter::Volume(_) => Ok(None),
        };
        let times = filters.iter().map(time).collect::<Result<_, Error>>()?;
        Ok(Self { filters, times })
    }

    /// Whether a status is asked for: then containers that do not run are meant too.
    pub fn names_a_status(&self) -> bool {
        let is_status = |filter: &Filter| matches!(filter, Filter::Status(_) | Filter::Exited(_));
        self.filters.iter().any(is_status)
    }

    /// Whether the container is meant.
    pub fn takes(&self, container: &Container) -> bool {
        let holds = |at: usize| {
            let time = self.times.get(at).and_then(Option::as_deref);
            self.filters
                .get(at)
                .is_some_and(|filter| filter.holds(container, time))
        };
        (0..self.filters.len()).all(|at| {
            let Some(filter) = self.filters.get(at) else {
                return true;
            };
            if matches!(filter, Filter::Label(..)) {
                return holds(at);
            }
            let same_key =
                |other: &Filter| std::mem::discriminant(other) == std::mem::discriminant(filter);
            (0..self.filters.len())
                .filter(|&other| self.filters.get(other).is_some_and(same_key))
                .any(holds)
        })
    }
}

fn is_called(container: &Container, given: &str) -> bool {
    container.name().as_str() == given || container.id().as_str().starts_with(given)
}

impl Filter {
    /// `time`: when the container that the filter names was made.
    fn holds(&self, container: &Container, time: Option<&str>) -> bool {
        let config = container.config();
        match self {
            Self::Id(prefix) => container.id().as_str().starts_with(prefix.as_str()),
            Self::Name(pattern) => name_fits(pattern, container.name().as_str()),
            Self::Label(name, wanted) => {
                let value = config.process.labels.get(name);
                value.is_some_and(|value| wanted.as_ref().is_none_or(|wanted| wanted == value))
            }
            Self::Status(phase) => container.phase() == *phase,
            Self::Exited(code) => {
                container.phase() == Phase::Exited && container.state().exit_code == *code
            }
            Self::Health(wanted) => container.health().map(|health| health.status) == *wanted,
            Self::Ancestor(image) => {
                let used = &config.image;
                let id = used.id.strip_prefix("sha256:").unwrap_or(&used.id);
                let prefix = image.strip_prefix("sha256:").unwrap_or(image);
                let reference = |text: &str| text.parse::<Reference>().ok();
                (prefix.len() >= 4 && id.starts_with(prefix))
                    || reference(image).is_some_and(|wanted| {
                        reference(&used.reference).is_some_and(|used| used == wanted)
                    })
            }
            // Both are RFC 3339 in UTC with nine decimals: their order as texts is that of time.
            Self::Before(_) => time.is_some_and(|time| config.created.as_str() < time),
            Self::Since(_) => time.is_some_and(|time| config.created.as_str() > time),
            Self::Volume(place) => config.host.volumes.iter().any(|volume| {
                volume.target.as_os_str() == place.as_str() || volume.source.to_string() == *place
            }),
        }
    }
}

/// Docker takes a regular expression, and its users write a part of the name, or `^/name$`.
fn name_fits(pattern: &str, name: &str) -> bool {
    let (pattern, from_start) = match pattern.strip_prefix('^') {
        Some(rest) => (rest, true),
        None => (pattern, false),
    };
    let (pattern, to_end) = match pattern.strip_suffix('$') {
        Some(rest) => (rest, true),
        None => (pattern, false),
    };
    let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
    match (from_start, to_end) {
        (true, true) => name == pattern,
        (true, false) => name.starts_with(pattern),
        (false, true) => name.ends_with(pattern),
        (false, false) => name.contains(pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_met_in_part_unless_its_ends_are_given() {
        assert!(name_fits("eb", "web-1"));
        assert!(name_fits("^/web-1$", "web-1"));
        assert!(!name_fits("^web$", "web-1"));
        assert!(!name_fits("^eb", "web-1"));
        assert!(name_fits("1$", "web-1"));
    }

    #[test]
    fn what_is_no_filter_is_refused_with_those_that_are() {
        for text in [
            "status",
            "status=asleep",
            "exited=x",
            "exited=256",
            "colour=red",
        ] {
            let refusal = text.parse::<Filter>().unwrap_err().to_string();
            assert!(refusal.contains("ancestor"), "{refusal}");
        }
    }
}
