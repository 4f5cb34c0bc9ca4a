//! `keel pause`.

use super::{Globals, Outcome, each};

/// Stop all processes of containers where they are
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel pause web
  keel unpause web")]
pub(super) struct Args {
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Does it.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    each::for_each(globals, &args.containers, |container| {
        container.pause().map(|()| None)
    })
}
