//! `keel system prune`.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::super::{Globals, Outcome, pruning, terminal};
use crate::container::{Containers, PruneFilter};
use crate::image::Unused;
use crate::image::digest::ImageId;
use crate::image::store::Store;
use crate::volume::{VolumeName, Volumes};

/// Remove containers that do not run, images without a name, steps of builds, and what killed
/// processes left
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel system prune
  keel system prune -af --filter until=240h")]
pub(in crate::cli) struct Args {
    /// Also images that no container uses
    #[arg(short, long)]
    all: bool,
    /// Also volumes that nobody named and no container uses
    #[arg(long)]
    volumes: bool,
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
    let volumes = if args.volumes {
        "  - volumes that nobody named and no container uses\n"
    } else {
        ""
    };
    let warning = format!(
        "This will remove:\n  - all containers that do not run\n  - {images}\n{volumes}  - what \
         steps of builds came to\n  - what killed processes left\n"
    );
    if !args.force && !pruning::confirm(&warning)? {
        return Ok(ExitCode::SUCCESS);
    }
    let containers = Containers::new(&globals.root);
    let mut pruned = containers.prune(&args.filter)?;
    let mut text = pruning::deleted(&pruned);
    let store = Store::open(&globals.root, globals.driver()?)?;
    let users = |id: &ImageId| Ok(containers.users_of(id)?);
    let which = if args.all {
        Unused::All
    } else {
        Unused::Nameless
    };
    let images = store.prune_images(which, |_| true, &users)?;
    text += &pruning::deleted_images(&images);
    pruned.bytes += images.bytes;
    let volumes = Volumes::new(&globals.root);
    if args.volumes {
        let users = |name: &VolumeName| Ok(containers.users_of_volume(name)?);
        let (names, bytes) = volumes.prune(|volume| volume.record.anonymous, &users)?;
        text += &pruning::deleted_volumes(&names);
        pruned.bytes += bytes;
    }
    let (steps, bytes) = store.forget_steps()?;
    if steps > 0 {
        writeln!(text, "Deleted build steps: {steps}\n")?;
    }
    pruned.bytes += bytes;
    let left = volumes.clean()? + containers.remove_leftovers()? + store.prune()?;
    if left > 0 {
        writeln!(text, "Deleted Leftovers: {left}\n")?;
    }
    text += &pruning::reclaimed(pruned.bytes);
    terminal::answer(&text)?;
    Ok(ExitCode::SUCCESS)
}
