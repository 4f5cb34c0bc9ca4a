//! `keel runtime list`.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::Shape;
use crate::cli::{Outcome, table, terminal};
use crate::oci::{Runtime, State};

/// List the containers below --root
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel-runtime list
  keel-runtime list --format json
  keel-runtime list --quiet")]
pub(super) struct Args {
    /// Form of the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Shape,
    /// Ids alone
    #[arg(short, long)]
    quiet: bool,
}

/// Lists them.
pub(super) fn run(args: &Args, runtime: &Runtime) -> Outcome {
    let states = runtime.list()?;
    let text = match (args.quiet, args.format) {
        (true, _) => states.iter().map(|state| state.id.clone() + "\n").collect(),
        (false, Shape::Json) => serde_json::to_string(&states)? + "\n",
        (false, Shape::Table) => {
            let rows: Vec<Value> = states.iter().map(row).collect();
            table::render(&COLUMNS, &rows)
        }
    };
    terminal::answer(&text)?;
    Ok(ExitCode::SUCCESS)
}

const COLUMNS: [(&str, &str); 6] = [
    ("ID", "id"),
    ("PID", "pid"),
    ("STATUS", "status"),
    ("BUNDLE", "bundle"),
    ("CREATED", "created"),
    ("OWNER", "owner"),
];

fn row(state: &State) -> Value {
    json!({
        "id": state.id,
        "pid": state.pid.unwrap_or(0),
        "status": state.status,
        "bundle": state.bundle,
        "created": state.created,
        "owner": format!("#{}", state.owner),
    })
}
