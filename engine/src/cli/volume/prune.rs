//! `keel volume prune`.

use std::process::ExitCode;

use super::super::{Globals, Outcome, pruning, terminal};
use crate::container::{Containers, PruneFilter};
use crate::volume::{Volume, VolumeName, Volumes};

/// Remove volumes that nobody named and no container uses
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel volume prune
  keel volume prune -af --filter label!=keep")]
pub(in crate::cli) struct Args {
    /// Also those with names
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only those of which this holds: `label=NAME[=VALUE]`, `label!=NAME[=VALUE]`, `until=24h`
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<PruneFilter>,
}

/// Removes them.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let warning = if args.all {
        "This will remove all volumes that no container uses."
    } else {
        "This will remove all volumes that nobody named and no container uses."
    };
    if !args.force && !pruning::confirm(warning)? {
        return Ok(ExitCode::SUCCESS);
    }
    let containers = Containers::new(&globals.root);
    let users = |name: &VolumeName| Ok(containers.users_of_volume(name)?);
    let wanted = |volume: &Volume| {
        let record = &volume.record;
        let mut filters = args.filter.iter();
        (args.all || record.anonymous)
            && filters.all(|filter| filter.takes(&record.created, &record.labels))
    };
    let (names, bytes) = Volumes::new(&globals.root).prune(wanted, &users)?;
    let text = pruning::deleted_volumes(&names) + &pruning::reclaimed(bytes);
    terminal::answer(&text)?;
    Ok(ExitCode::SUCCESS)
}
