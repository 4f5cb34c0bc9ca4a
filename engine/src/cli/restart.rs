//! `keel restart`.

use std::time::Duration;

use super::{Globals, Outcome, each};

/// Stop containers, if they run, and start them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel restart web
  keel restart -t 60 db")]
pub(super) struct Args {
    /// Seconds to wait before killing; -1: for ever
    #[arg(
        short,
        long,
        alias = "timeout",
        value_name = "SECONDS",
        default_value_t = 10
    )]
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-1..))]
    time: i64,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Restarts them.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let grace = u64::try_from(args.time).ok().map(Duration::from_secs);
    each::for_each(globals, &args.containers, |mut container| {
        container.restart(grace).map(|()| None)
    })
}
