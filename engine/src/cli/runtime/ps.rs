//! `keel runtime ps`.

use std::process::ExitCode;

use super::Shape;
use crate::cli::{Outcome, terminal, top};
use crate::oci::{ContainerId, Runtime};

/// Show the processes in a container, with their ids on the host
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel-runtime ps web
  keel-runtime ps --format json web
  keel-runtime ps web -o pid,rss,comm      what the host's `ps` can show of them")]
pub(super) struct Args {
    /// Form of the answer; json: process ids alone
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Shape,
    /// The container
    #[arg(value_name = "ID")]
    id: ContainerId,
    /// Options for the host's `ps`, among them the column `pid`
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PS OPTIONS"
    )]
    options: Vec<String>,
}

/// Shows them.
pub(super) fn run(args: &Args, runtime: &Runtime) -> Outcome {
    let pids = runtime.find(&args.id)?.pids()?;
    let text = match args.format {
        Shape::Json => serde_json::to_string(&pids)? + "\n",
        Shape::Table => top::table_of(&pids, &args.options)?,
    };
    terminal::answer(&text)?;
    Ok(ExitCode::SUCCESS)
}
