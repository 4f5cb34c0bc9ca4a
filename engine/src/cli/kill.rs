//! `keel kill`.

use super::{Globals, Outcome, each};
use crate::container::options::Signal;

/// Send a signal to running containers
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel kill web
  keel kill -s HUP web")]
pub(super) struct Args {
    /// The signal, by name or number
    #[arg(short, long, default_value_t = Signal::KILL)]
    signal: Signal,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Sends it.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    each::for_each(globals, &args.containers, |container| {
        container.signal(args.signal).map(|()| None)
    })
}
