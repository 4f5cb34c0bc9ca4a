//! `seaworthy plan`.

use clap::ValueEnum;

use super::image::StoreArgs;
use super::matrix::{MatrixArgs, settle};
use super::{Answer, Failure};
use crate::run::listing::listing;
use crate::terminal;

/// Show the cells of a matrix, and why others are not there
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  seaworthy plan
  seaworthy plan --matrix here
  seaworthy plan --kernel bzImage --modules lib/modules/6.6.1
  seaworthy plan --only 'storage=overlay and not kernel=5.*'
  seaworthy plan --format json | jq -r '.cells[].id'

An EXPR is made of AXIS=GLOB[,GLOB…] or a glob over whole cell ids, with and, or, not and
parentheses. The axes are id, distro, release, kernel, arch, storage, cgroup and target.")]
pub(super) struct Args {
    #[command(flatten)]
    matrix: MatrixArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a person
    Text,
    /// One JSON document, `seaworthy.plan/1`
    Json,
}

pub(super) fn run(args: &Args) -> Result<Answer, Failure> {
    let store = args.store.open()?;
    let own = args.matrix.own_kernel(&store)?;
    let mut plan = args.matrix.plan(own.as_ref())?;
    settle(&mut plan, &store)?;
    let text = match args.format {
        Format::Text => listing(&plan),
        Format::Json => serde_json::to_string_pretty(&plan)? + "\n",
    };
    terminal::answer(&text)?;
    if plan.cells.is_empty() {
        terminal::message(
            "no cell is left to run: is an axis or a value of `--only` or `--skip` misspelt?",
        );
    }
    Ok(Answer::Yes)
}
