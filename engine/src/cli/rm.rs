//! `keel rm`.

use super::{Globals, Outcome, each};
use crate::container::Force;

/// Remove containers, with all that they wrote but what lies in volumes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel rm job-1
  keel rm -f $(keel ps -aq)")]
pub(super) struct Args {
    /// Kill those that run
    #[arg(short, long)]
    force: bool,
    /// Also the volumes that were made for them alone
    #[arg(short, long)]
    volumes: bool,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Removes them.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let force = if args.force { Force::Yes } else { Force::No };
    each::for_each(globals, &args.containers, |container| {
        let removed = if args.volumes {
            container.remove_with_volumes(force)
        } else {
            container.remove(force)
        };
        removed.map(|()| None)
    })
}
