//! `keel runtime delete`.

use std::process::ExitCode;

use super::log::Log;
use crate::cli::Outcome;
use crate::oci::{ContainerId, Error, Force, Runtime};

/// Delete a stopped container, and what was made for it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel-runtime delete web
  keel-runtime delete --force web")]
pub(super) struct Args {
    /// Kill it first if it is not stopped; one that is not there is no error
    #[arg(short, long)]
    force: bool,
    /// The container
    #[arg(value_name = "ID")]
    id: ContainerId,
}

/// Deletes it.
pub(super) fn run(args: &Args, runtime: &Runtime, log: &Log) -> Outcome {
    let force = if args.force { Force::Yes } else { Force::No };
    match runtime.find_to_change(&args.id) {
        Err(Error::NotFound(_)) if args.force => {}
        found => log.warn(&runtime.delete(&found?, force)?),
    }
    Ok(ExitCode::SUCCESS)
}
