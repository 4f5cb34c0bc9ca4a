//! `keel image prune`.

use std::process::ExitCode;

use super::super::{Globals, Outcome, pruning, terminal};
use crate::container::{Containers, PruneFilter};
use crate::image::Unused;
use crate::image::digest::ImageId;
use crate::image::store::{Image, Store};

/// Remove images without a name that no container uses
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel image prune
  keel image prune -af --filter until=240h")]
pub(in crate::cli) struct Args {
    /// Also those with names
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only those of which this holds: `until=24h` (an age or a time), `label=NAME[=VALUE]`,
    /// `label!=NAME[=VALUE]`
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<PruneFilter>,
}

/// Removes them.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let (which, warning) = if args.all {
        (
            Unused::All,
            "This will remove all images that no container uses.",
        )
    } else {
        (
            Unused::Nameless,
            "This will remove all images without a name that no container uses.",
        )
    };
    if !args.force && !pruning::confirm(warning)? {
        return Ok(ExitCode::SUCCESS);
    }
    let store = Store::open(&globals.root, globals.driver()?)?;
    let containers = Containers::new(&globals.root);
    let users = |id: &ImageId| Ok(containers.users_of(id)?);
    let wanted = |image: &Image| {
        let created = image.config.created.as_deref().unwrap_or(&image.loaded);
        let labels = &image.config.config.labels;
        let mut filters = args.filter.iter();
        filters.all(|filter| filter.takes(created, labels))
    };
    let pruned = store.prune_images(which, wanted, &users)?;
    let text = pruning::deleted_images(&pruned) + &pruning::reclaimed(pruned.bytes);
    terminal::answer(&text)?;
    Ok(ExitCode::SUCCESS)
}
