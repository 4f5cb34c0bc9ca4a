//! `keel events`.

use std::fs;
use std::process::ExitCode;
use std::str::FromStr;

use jiff::Timestamp;

use super::template::Template;
use super::{Globals, Outcome, terminal};
use crate::container::moment;
use crate::container::options::Malformed;
use crate::events::{Event, Journal, Kind};

/// Show what happens to containers and images, as it happens
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel events
  keel events --since 1h --until 0s --filter event=die
  keel events --filter container=web --format '{{.Action}} {{.Actor.Attributes.exitCode}}'
  keel events --format json

The journal holds some ten thousand of the newest events at least.")]
pub(super) struct Args {
    /// Also what happened since then: an age such as `10m`, seconds since 1970, or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only what happens before then
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Only events of which this holds: `container=web`, `image=small`, `event=die`,
    /// `label=NAME[=VALUE]`, `type=container`
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    /// `json` (one object a line), or a template such as `{{.Action}}`
    #[arg(long)]
    format: Option<Template>,
}

/// A moment as Docker's users write one.
pub(super) fn time(text: &str) -> Result<Timestamp, Malformed> {
    moment(text).ok_or_else(|| {
        Malformed::new(
            format!("`{text}` is no moment"),
            "an age such as `10m`, seconds since 1970, or `2026-01-31T12:00:00Z`",
        )
    })
}

/// One `--filter KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    /// Of this container, by name or the start of its id.
    Container(String),
    /// Of this image, or a container of it.
    Image(String),
    /// This action.
    Event(String),
    /// With this label.
    Label(String, Option<String>),
    /// About this kind.
    Kind(Kind),
}

impl FromStr for Filter {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bad = |why: &str| {
            Malformed::new(
                format!("`{text}` {why}"),
                "`container=web`, `image=small`, `event=die`, `label=NAME[=VALUE]` or `type=image`",
            )
        };
        let (key, value) = text.split_once('=').ok_or_else(|| bad("has no `=`"))?;
        let owned = value.to_owned();
        Ok(match key {
            "container" => Self::Container(owned),
            "image" => Self::Image(owned),
            "event" => Self::Event(owned),
            "label" => match value.split_once('=') {
                Some((name, value)) => Self::Label(name.to_owned(), Some(value.to_owned())),
                None => Self::Label(owned, None),
            },
            "type" => {
                let mut kinds = [Kind::Container, Kind::Image].into_iter();
                let kind = kinds.find(|kind| kind.as_str() == value);
                Self::Kind(kind.ok_or_else(|| bad("is no kind: container, image"))?)
            }
            _ => return Err(bad("has an unknown key")),
        })
    }
}

impl Filter {
    fn holds(&self, event: &Event) -> bool {
        let attribute = |name: &str| event.actor.attributes.get(name);
        match self {
            Self::Container(given) => {
                event.kind == Kind::Container
                    && (attribute("name") == Some(given) || event.id.starts_with(given.as_str()))
            }
            Self::Image(given) => {
                let plain = |name: &str| {
                    let name = name.strip_suffix(":latest").unwrap_or(name);
                    name == given.strip_suffix(":latest").unwrap_or(given)
                };
                match event.kind {
                    Kind::Container => attribute("image").is_some_and(|image| plain(image)),
                    Kind::Image => {
                        event.id.contains(given.as_str())
                            || attribute("name").is_some_and(|name| plain(name))
                    }
                }
            }
            // `exec_create` stands for `exec_create: sh` too.
            Self::Event(given) => {
                let begins = event.action.strip_prefix(given.as_str());
                begins.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            }
            Self::Label(name, wanted) => attribute(name)
                .is_some_and(|value| wanted.as_ref().is_none_or(|wanted| wanted == value)),
            Self::Kind(kind) => event.kind == *kind,
        }
    }
}

/// Of one key any may hold, but for labels; of different keys, all must.
fn takes(filters: &[Filter], event: &Event) -> bool {
    filters.iter().all(|filter| {
        if matches!(filter, Filter::Label(..)) {
            return filter.holds(event);
        }
        let same_key =
            |other: &&Filter| std::mem::discriminant(*other) == std::mem::discriminant(filter);
        filters
            .iter()
            .filter(same_key)
            .any(|filter| filter.holds(event))
    })
}

/// Shows them, to the end that was asked for.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let since = args.since.unwrap_or_else(Timestamp::now).as_nanosecond();
    let until = args.until.map_or(i128::MAX, Timestamp::as_nanosecond);
    // Nothing may have been kept there yet.
    fs::create_dir_all(&globals.root)?;
    let mut reader = Journal::of(&globals.root).read()?;
    loop {
        let is_over = args.until.is_some_and(|until| until <= Timestamp::now());
        while let Some(event) = reader.next_event()? {
            let in_time = since <= event.time_nano && event.time_nano < until;
            if in_time && takes(&args.filter, &event) {
                show(&event, args.format.as_ref())?;
            }
        }
        if is_over {
            return Ok(ExitCode::SUCCESS);
        }
        reader.wait(args.until);
    }
}

fn show(event: &Event, format: Option<&Template>) -> Result<(), super::Failure> {
    let text = match format {
        Some(template) => template.render_lines(&[serde_json::to_value(event)?])?,
        None => for_people(event),
    };
    Ok(terminal::show(&text)?)
}

/// As Docker prints it.
fn for_people(event: &Event) -> String {
    let time = Timestamp::from_nanosecond(event.time_nano).unwrap_or_default();
    let attributes = event.actor.attributes.iter();
    let attributes: Vec<String> = attributes
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!(
        "{time:.9} {} {} {} ({})\n",
        event.kind.as_str(),
        event.action,
        event.actor.id,
        attributes.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn event() -> Event {
        let attributes = [("image", "small"), ("name", "web"), ("tier", "front")];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Event {
            time_nano: 1_000_000_002,
            ..Event::now(
                Kind::Container,
                "exec_create: sh",
                "abcd",
                BTreeMap::from(attributes),
            )
        }
    }

    #[test]
    fn people_see_it_as_docker_prints_it() {
        insta::assert_snapshot!(for_people(&event()), @"1970-01-01T00:00:01.000000002Z container exec_create: sh abcd (image=small, name=web, tier=front)");
    }

    #[test]
    fn filters_of_one_key_widen_and_of_several_narrow() {
        let taken = |filters: &[&str]| {
            let filters: Vec<Filter> = filters.iter().map(|text| text.parse().unwrap()).collect();
            takes(&filters, &event())
        };
        assert!(taken(&[]));
        assert!(taken(&["container=web"]) && taken(&["container=abc"]));
        assert!(taken(&["event=die", "event=exec_create"]));
        assert!(!taken(&["event=exec"]));
        assert!(!taken(&["event=exec_create", "type=image"]));
        assert!(taken(&["image=small:latest", "label=tier"]));
        assert!(!taken(&["label=tier=back", "label=tier"]));
        for text in ["event", "type=volume", "colour=red"] {
            assert!(text.parse::<Filter>().is_err(), "{text}");
        }
    }
}
