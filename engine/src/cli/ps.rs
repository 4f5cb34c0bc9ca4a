//! `keel ps`.

use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::template::Template;
use super::{Globals, Outcome, table, terminal};
use crate::container::state::Status;
use crate::container::{Container, Containers};

/// List containers
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel ps -a
  keel ps -aq --no-trunc
  keel ps -a --format '{{.Names}}: {{.Status}}'
  keel ps -a --format json")]
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
    /// `table`, `json` (one object a line), or a template such as `{{.Names}}`
    #[arg(long)]
    format: Option<String>,
}

/// How much of a command is shown.
const COMMAND_WIDTH: usize = 20;

/// Lists them, the newest first.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let containers = Containers::new(&globals.root).list()?;
    let shown = containers
        .iter()
        .filter(|container| args.all || container.state().status == Status::Running);
    let now = Timestamp::now();
    let rows: Vec<Value> = shown.map(|container| row(container, args, now)).collect();
    let text = match args.format.as_deref() {
        _ if args.quiet => "{{.ID}}".parse::<Template>()?.render_lines(&rows)?,
        None | Some("table") => table::render(
            &[
                ("CONTAINER ID", "ID"),
                ("IMAGE", "Image"),
                ("COMMAND", "Command"),
                ("CREATED", "RunningFor"),
                ("STATUS", "Status"),
                ("PORTS", "Ports"),
                ("NAMES", "Names"),
            ],
            &rows,
        ),
        Some(template) => template.parse::<Template>()?.render_lines(&rows)?,
    };
    terminal::answer(&text)?;
    Ok(ExitCode::SUCCESS)
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
        .map(|volume| volume.source.display().to_string());
    json!({
        "ID": id,
        "Names": container.name(),
        "Image": config.image.reference,
        "Command": command(&config.process.args().join(" "), args),
        "CreatedAt": config.created,
        "RunningFor": format!("{} ago", since(&config.created, now)),
        "State": container.state().status.as_str(),
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
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Running => format!("Up {}", ago(&state.started)),
        Status::Exited => format!("Exited ({}) {} ago", state.exit_code, ago(&state.finished)),
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
