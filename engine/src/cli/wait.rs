//! `keel wait`.

use super::{Globals, Outcome, each};

/// Wait for containers to end, and print their exit codes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  keel wait job-1 job-2")]
pub(super) struct Args {
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Waits for them, one after the other.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    each::for_each(globals, &args.containers, |mut container| {
        container.wait().map(|code| Some(code.to_string()))
    })
}
