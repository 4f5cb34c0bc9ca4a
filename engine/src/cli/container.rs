//! `keel container`.

use std::process::ExitCode;

use super::{Globals, Outcome, pruning, terminal};
use crate::container::{Containers, PruneFilter};

/// Work on all containers at once
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    Prune(Prune),
}

/// Remove all containers that do not run
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel container prune
  keel container prune -f --filter until=24h --filter label!=keep")]
pub(super) struct Prune {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only those of which this holds: `until=24h` (an age or a time), `label=NAME[=VALUE]`,
    /// `label!=NAME[=VALUE]`
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<PruneFilter>,
}

/// Does it.
pub(super) fn run(verb: &Verb, globals: &Globals) -> Outcome {
    match verb {
        Verb::Prune(args) => prune(args, globals),
    }
}

fn prune(args: &Prune, globals: &Globals) -> Outcome {
    if !args.force && !pruning::confirm("This will remove all containers that do not run.")? {
        return Ok(ExitCode::SUCCESS);
    }
    let pruned = Containers::new(&globals.root).prune(&args.filter)?;
    let text = pruning::deleted(&pruned) + &pruning::reclaimed(pruned.bytes);
    terminal::answer(&text)?;
    Ok(ExitCode::SUCCESS)
}
