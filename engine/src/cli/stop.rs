//! `keel stop`.

use super::{Globals, Outcome, each};

/// Ask containers to end, and kill those that do not
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel stop web
  keel stop -t 60 db")]
pub(super) struct Args {
    /// Seconds to wait before killing; -1: for ever [default: the container's, or 10]
    #[arg(short, long, alias = "timeout", value_name = "SECONDS")]
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-1..))]
    time: Option<i64>,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Stops them.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    each::for_each(globals, &args.containers, |mut container| {
        let grace = container.grace(args.time);
        container.stop(grace).map(|()| None)
    })
}
