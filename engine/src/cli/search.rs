//! `keel search`.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::registry::{Server, Transport};
use super::template::Template;
use super::{Globals, Outcome, table, terminal};
use crate::image::registry::{Found, Search, search};

/// Look for images on Docker Hub
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel search busybox
  keel search --filter is-official=true --filter stars=100 --limit 5 web
  keel search registry.example.org/web              in a registry that has a search")]
pub(super) struct Args {
    /// What to look for
    #[arg(value_name = "[REGISTRY/]TERM")]
    term: String,
    /// Only those of which this holds: `stars=NUMBER`, `is-official=true|false`
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    /// How many, at most 100
    #[arg(long, value_name = "NUMBER", default_value = "25")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=100))]
    limit: u16,
    /// Whole descriptions
    #[arg(long)]
    no_trunc: bool,
    /// `table`, `json` (one object a line), or a template such as `{{.Name}}`
    #[arg(long)]
    format: Option<String>,
    #[command(flatten)]
    transport: Transport,
}

/// What must hold of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    Stars(u64),
    Official(bool),
}

/// A filter that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no filter: write `stars=NUMBER` or `is-official=true|false`")]
struct NoFilter(String);

impl std::str::FromStr for Filter {
    type Err = NoFilter;

    fn from_str(text: &str) -> Result<Self, NoFilter> {
        let wrong = || NoFilter(text.to_owned());
        match text.split_once('=') {
            Some(("stars", number)) => number.parse().map(Self::Stars).map_err(|_| wrong()),
            Some(("is-official", value)) => value.parse().map(Self::Official).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

impl Filter {
    fn takes(self, found: &Found) -> bool {
        match self {
            Self::Stars(least) => found.stars >= least,
            Self::Official(wanted) => found.official == wanted,
        }
    }
}

/// How much of a description is shown.
const DESCRIPTION_WIDTH: usize = 45;

/// Looks for them.
pub(super) fn run(args: &Args, _globals: &Globals) -> Outcome {
    let named = args
        .term
        .split_once('/')
        .and_then(|(server, term)| Some((server.parse::<Server>().ok()?, term)));
    let (Server(registry), term) = named.unwrap_or_else(|| (Server::default(), &args.term));
    let settings = args.transport.settings(&registry);
    let wanted = Search {
        registry: &registry,
        term,
        limit: args.limit.into(),
    };
    let rows: Vec<Value> = search(&wanted, &settings)?
        .iter()
        .filter(|found| args.filter.iter().all(|filter| filter.takes(found)))
        .map(|found| row(found, args))
        .collect();
    let text = match args.format.as_deref() {
        None | Some("table") => table::render(
            &[
                ("NAME", "Name"),
                ("DESCRIPTION", "Description"),
                ("STARS", "StarCount"),
                ("OFFICIAL", "IsOfficial"),
            ],
            &rows,
        ),
        Some(template) => template.parse::<Template>()?.render_lines(&rows)?,
    };
    terminal::answer(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A row under Docker's names.
fn row(found: &Found, args: &Args) -> Value {
    let description = if args.no_trunc || found.description.chars().count() <= DESCRIPTION_WIDTH {
        found.description.clone()
    } else {
        let start = found.description.chars().take(DESCRIPTION_WIDTH - 1);
        start.chain(['…']).collect()
    };
    json!({
        "Name": found.name,
        "Description": description,
        "StarCount": found.stars,
        "IsOfficial": if found.official { "[OK]" } else { "" },
    })
}
