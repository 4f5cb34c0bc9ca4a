//! `keel start`.

use super::{Globals, Outcome, each};

/// Start containers that were made or have ended
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel start web
  keel start $(keel ps -aq --filter status=exited)")]
pub(super) struct Args {
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Starts them. One that runs is left alone, as Docker does.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    each::for_each(globals, &args.containers, |mut container| {
        container.start().map(|()| None)
    })
}
