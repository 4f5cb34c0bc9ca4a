//! `keel system prune`.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::super::{Failure, Globals, Outcome, pruning, terminal};
use crate::container::{Containers, PruneFilter};
use crate::image::digest::ImageId;
use crate::image::store::{Force, Removed, Store};

/// Remove containers that do not run, images without a name, and what killed processes left
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel system prune
  keel system prune -af --filter until=240h")]
pub(in crate::cli) struct Args {
    /// Also images that no container uses
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only containers of which this holds: `until=24h` (an age or a time),
    /// `label=NAME[=VALUE]`, `label!=NAME[=VALUE]`
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<PruneFilter>,
}

/// Removes it.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let images = if args.all {
        "images that no container uses"
    } else {
        "images without a name that no container uses"
    };
    let warning = format!(
        "This will remove:\n  - all containers that do not run\n  - {images}\n  - what killed \
         processes left\n"
    );
    if !args.force && !pruning::confirm(&warning)? {
        return Ok(ExitCode::SUCCESS);
    }
    let containers = Containers::new(&globals.root);
    let mut pruned = containers.prune(&args.filter)?;
    let mut text = pruning::deleted(&pruned);
    let store = Store::open(&globals.root, globals.driver()?)?;
    let removed = remove_images(args, &store, &containers, &mut pruned.bytes)?;
    if !removed.is_empty() {
        writeln!(text, "Deleted Images:\n{removed}")?;
    }
    let left = containers.remove_leftovers()? + store.prune()?;
    if left > 0 {
        writeln!(text, "Deleted Leftovers: {left}\n")?;
    }
    text += &pruning::reclaimed(pruned.bytes);
    terminal::answer(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Removes images that are of no use, and tells which.
fn remove_images(
    args: &Args,
    store: &Store,
    containers: &Containers,
    bytes: &mut u64,
) -> Result<String, Failure> {
    let users = |id: &ImageId| Ok(containers.users_of(id)?);
    let named = store.names()?;
    let mut text = String::new();
    for id in store.ids()? {
        let has_name = named.iter().any(|(_, named)| *named == id);
        let is_used = !containers.users_of(&id)?.is_empty();
        if is_used || (has_name && !args.all) {
            continue;
        }
        let layers = store
            .image(&id)
            .map(|image| image.layers)
            .unwrap_or_default();
        for removed in store.remove(&id.to_string(), Force::Yes, &users)? {
            match removed {
                Removed::Name(name) => writeln!(text, "untagged: {}", name.familiar())?,
                Removed::Image(id) => writeln!(text, "deleted: {id}")?,
                Removed::Layer(chain) => {
                    let layer = layers.iter().find(|layer| layer.chain_id == chain);
                    *bytes += layer.map_or(0, |layer| layer.bytes);
                    writeln!(text, "deleted: {chain}")?;
                }
            }
        }
    }
    Ok(text)
}
