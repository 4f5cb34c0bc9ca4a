//! `keel restart`.

use super::{Globals, Outcome, each};

/// Stop containers, if they run, and start them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel restart web
  keel restart -t 60 db")]
pub(super) struct Args {
    /// Seconds to wait before killing; -1: for ever [default: the container's, or 10]
    #[arg(short, long, alias = "timeout", value_name = "SECONDS")]
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-1..))]
    time: Option<i64>,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Restarts them.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    each::for_each(globals, &args.containers, |mut container| {
        let grace = container.grace(args.time);
        container.restart(grace).map(|()| None)
    })
}
