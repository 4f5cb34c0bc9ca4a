//! `keel unpause`.

use super::{Globals, Outcome, each};

/// Let paused containers go on
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  keel unpause web")]
pub(super) struct Args {
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Does it.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    each::for_each(globals, &args.containers, |container| {
        container.unpause().map(|()| None)
    })
}
