//! `keel history`.

use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::images::size;
use super::ps::since;
use super::template::Template;
use super::{Globals, Outcome, table, terminal};
use crate::image::history::{Step, steps};
use crate::image::store::Store;

/// Show how an image came about, the newest step first
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel history small
  keel history --no-trunc --format '{{.CreatedBy}}' small
  keel history -H=false small               times and bytes in full")]
pub(super) struct Args {
    /// Sizes and times as people say them
    #[arg(
        short = 'H',
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    human: bool,
    /// Whole ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// `table`, `json` (one object a line), or a template such as `{{.CreatedBy}}`
    #[arg(long)]
    format: Option<String>,
    /// The image: a name or an id
    #[arg(value_name = "IMAGE")]
    image: String,
}

/// Characters of a command in the table.
const COMMAND_LEN: usize = 45;

/// Shows it.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let store = Store::open(&globals.root, globals.driver()?)?;
    let image = store.resolve(&args.image)?;
    let now = Timestamp::now();
    let rows: Vec<Value> = steps(&image)
        .iter()
        .map(|step| row(step, args, now))
        .collect();
    let created = if args.human {
        "CreatedSince"
    } else {
        "CreatedAt"
    };
    let text = match args.format.as_deref() {
        _ if args.quiet => "{{.ID}}".parse::<Template>()?.render_lines(&rows)?,
        None | Some("table") => table::render(
            &[
                ("IMAGE", "ID"),
                (if args.human { "CREATED" } else { "CREATED AT" }, created),
                ("CREATED BY", "CreatedBy"),
                ("SIZE", "Size"),
                ("COMMENT", "Comment"),
            ],
            &rows,
        ),
        Some(template) => template.parse::<Template>()?.render_lines(&rows)?,
    };
    terminal::answer(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A row under Docker's names.
fn row(step: &Step, args: &Args, now: Timestamp) -> Value {
    let id = step.id.map_or_else(
        || "<missing>".to_owned(),
        |id| {
            if args.no_trunc {
                id.to_string()
            } else {
                id.digest().short()
            }
        },
    );
    let since = match &step.created {
        Some(created) => format!("{} ago", since(created, now)),
        None => "N/A".to_owned(),
    };
    json!({
        "ID": id,
        "CreatedAt": step.created.as_deref().unwrap_or("N/A"),
        "CreatedSince": since,
        "CreatedBy": command(&step.created_by, args),
        "Size": if args.human { size(step.bytes) } else { step.bytes.to_string() },
        "Comment": step.comment,
    })
}

/// In one line, and no longer than the table likes.
fn command(text: &str, args: &Args) -> String {
    let line = text.replace(['\t', '\n'], " ");
    if args.no_trunc || line.chars().count() <= COMMAND_LEN {
        return line;
    }
    let start: String = line.chars().take(COMMAND_LEN - 1).collect();
    start + "…"
}
