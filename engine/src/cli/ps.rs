//! `keel ps`.

use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::images::size;
use super::template::Template;
use super::{Globals, Outcome, table, terminal};
use crate::container::{Container, Containers, Error, Filter, Phase, Selection, Verdict};
use crate::image::store::Store;

/// List containers
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel ps -a
  keel ps -aq --no-trunc
  keel ps --filter status=exited --filter label=job
  keel ps -as --last 3
  keel ps -a --format '{{.Names}}: {{.Status}}'
  keel ps -a --format json")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(super) struct Args {
    /// Also those that do not run
    #[arg(short, long)]
    all: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Whole ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Only those of which this holds: `name=web`, `status=exited`, `label=NAME=VALUE`; also id,
    /// exited, ancestor, before, since, health, volume
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    /// Only the newest, whatever they are doing
    #[arg(short = 'n', long, value_name = "NUMBER")]
    last: Option<usize>,
    /// Only the newest one, whatever it is doing
    #[arg(short, long, conflicts_with = "last")]
    latest: bool,
    /// Also how much each has written, and how much it is together with its image
    #[arg(short, long)]
    size: bool,
    /// `table`, `json` (one object a line), or a template such as `{{.Names}}`
    #[arg(long)]
    format: Option<String>,
}

/// How much of a command is shown.
const COMMAND_WIDTH: usize = 20;

const COLUMNS: [(&str, &str); 8] = [
    ("CONTAINER ID", "ID"),
    ("IMAGE", "Image"),
    ("COMMAND", "Command"),
    ("CREATED", "RunningFor"),
    ("STATUS", "Status"),
    ("PORTS", "Ports"),
    ("NAMES", "Names"),
    ("SIZE", "Size"),
];

/// Lists them, the newest first.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let mut shown = select(args, Containers::new(&globals.root).list()?)?;
    let last = if args.latest { Some(1) } else { args.last };
    shown.truncate(last.unwrap_or(usize::MAX));
    let sizes = if args.size {
        Some(Sizes::new(globals)?)
    } else {
        None
    };
    let now = Timestamp::now();
    let mut rows = Vec::with_capacity(shown.len());
    for container in &shown {
        let mut row = row(container, args, now);
        if let (Some(sizes), Some(fields)) = (&sizes, row.as_object_mut()) {
            fields.insert("Size".to_owned(), Value::from(sizes.of(container)?));
        }
        rows.push(row);
    }
    let columns = if args.size {
        COLUMNS.as_slice()
    } else {
        COLUMNS.get(..COLUMNS.len() - 1).unwrap_or(&COLUMNS)
    };
    let text = match args.format.as_deref() {
        _ if args.quiet => "{{.ID}}".parse::<Template>()?.render_lines(&rows)?,
        None | Some("table") => table::render(columns, &rows),
        Some(template) => template.parse::<Template>()?.render_rows(&COLUMNS, &rows)?,
    };
    terminal::answer(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Those that are asked for. Without a word about it, those that run.
fn select(args: &Args, mut all: Vec<Container>) -> Result<Vec<Container>, Error> {
    let selection = Selection::new(&args.filter, &all)?;
    let any = args.all || args.latest || args.last.is_some() || selection.names_a_status();
    all.retain(|container| (any || container.phase().is_live()) && selection.takes(container));
    Ok(all)
}

/// Tells how much containers take.
struct Sizes {
    images: Store,
}

impl Sizes {
    fn new(globals: &Globals) -> Result<Self, super::Failure> {
        Ok(Self {
            images: Store::open(&globals.root, globals.driver()?)?,
        })
    }

    /// In Docker's words. Of an image that is gone nothing is counted.
    fn of(&self, container: &Container) -> Result<String, Error> {
        let own = container.own_bytes()?;
        let image = self.images.resolve(&container.config().image.id);
        let image = image.map_or(0, |image| image.bytes());
        Ok(format!("{} (virtual {})", size(own), size(own + image)))
    }
}

/// A row under Docker's names.
fn row(container: &Container, args: &Args, now: Timestamp) -> Value {
    let config = container.config();
    let id = if args.no_trunc {
        container.id().as_str()
    } else {
        container.id().short()
    };
    let labels = config
        .process
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    let mounts = config
        .host
        .volumes
        .iter()
        .map(|volume| volume.source.to_string());
    json!({
        "ID": id,
        "Names": container.name(),
        "Image": config.image.reference,
        "Command": command(&config.process.args().join(" "), args),
        "CreatedAt": config.created,
        "RunningFor": format!("{} ago", since(&config.created, now)),
        "State": container.phase().as_str(),
        "Status": status(container, now),
        "Ports": "",
        "Networks": "none",
        "Labels": labels.collect::<Vec<_>>().join(","),
        "Mounts": mounts.collect::<Vec<_>>().join(","),
    })
}

fn command(whole: &str, args: &Args) -> String {
    let length = whole.chars().count();
    if args.no_trunc || length <= COMMAND_WIDTH {
        return format!("{whole:?}");
    }
    let beginning: String = whole.chars().take(COMMAND_WIDTH - 1).collect();
    format!("{:?}", beginning + "…")
}

fn status(container: &Container, now: Timestamp) -> String {
    let state = container.state();
    let ago = |time: &Option<String>| since(time.as_deref().unwrap_or_default(), now);
    match container.phase() {
        Phase::Created => "Created".to_owned(),
        Phase::Running => {
            let health = container.health().map(|health| health.status);
            let health = match health {
                None => "",
                Some(Verdict::Starting) => " (health: starting)",
                Some(Verdict::Healthy) => " (healthy)",
                Some(Verdict::Unhealthy) => " (unhealthy)",
            };
            format!("Up {}{health}", ago(&state.started))
        }
        Phase::Paused => format!("Up {} (Paused)", ago(&state.started)),
        Phase::Restarting => format!(
            "Restarting ({}) {} ago",
            state.exit_code,
            ago(&state.finished)
        ),
        Phase::Exited => format!("Exited ({}) {} ago", state.exit_code, ago(&state.finished)),
    }
}

/// How long ago a time was, in Docker's words.
pub(super) fn since(time: &str, now: Timestamp) -> String {
    let Ok(time) = time.parse::<Timestamp>() else {
        return "an unknown time".to_owned();
    };
    let seconds = now.as_second().saturating_sub(time.as_second()).max(0);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds < 2 => "1 second".to_owned(),
        () if minutes < 1 => format!("{seconds} seconds"),
        () if minutes < 2 => "About a minute".to_owned(),
        () if hours < 1 => format!("{minutes} minutes"),
        () if hours < 2 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if days < 14 => format!("{days} days"),
        () if days < 60 => format!("{} weeks", days / 7),
        () if days < 730 => format!("{} months", days / 30),
        () => format!("{} years", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_dockers_words() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let told = |time: &str| since(time, now);
        assert_eq!(told("2026-03-01T12:00:00Z"), "Less than a second");
        assert_eq!(told("2026-03-01T11:59:13Z"), "47 seconds");
        assert_eq!(told("2026-03-01T10:30:00Z"), "About an hour");
        assert_eq!(told("2026-02-20T12:00:00Z"), "9 days");
        assert_eq!(told("2030-01-01T00:00:00Z"), "Less than a second");
        assert_eq!(told("yesterday"), "an unknown time");
    }
}
