//! `seaworthy image prune`.

use std::fmt::Write as _;
use vm_images::store::PruneMode;

use super::{Answer, Failure, StoreArgs, megabytes};
use crate::terminal;

/// Remove from the cache what no kernel of the catalogue needs
///
/// Older builds, packages of those, kernels of your own, transfers that broke off. Prints what
/// is removed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  seaworthy image prune --dry-run
  seaworthy image prune")]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// Only print what would be removed
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args) -> Result<Answer, Failure> {
    let mode = if args.dry_run {
        PruneMode::DryRun
    } else {
        PruneMode::Remove
    };
    let pruned = args.store.open()?.prune(mode)?;
    let mut lines = String::new();
    for item in &pruned {
        // Writing into a String cannot fail.
        let _ = writeln!(lines, "{}", item.path.display());
    }
    terminal::answer(&lines)?;
    let total = megabytes(pruned.iter().map(|item| item.size).sum());
    terminal::message(&match mode {
        PruneMode::Remove => format!("removed {total}"),
        PruneMode::DryRun => format!("{total} would be removed"),
    });
    Ok(Answer::Yes)
}
