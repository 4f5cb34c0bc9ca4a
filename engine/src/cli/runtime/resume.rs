//! `keel runtime resume`.

use std::process::ExitCode;

use crate::cli::Outcome;
use crate::oci::{ContainerId, Runtime};

/// Let the processes of a paused container go on
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel-runtime resume web")]
pub(super) struct Args {
    /// The container
    #[arg(value_name = "ID")]
    id: ContainerId,
}

/// Lets them.
pub(super) fn run(args: &Args, runtime: &Runtime) -> Outcome {
    runtime.find_to_change(&args.id)?.resume()?;
    Ok(ExitCode::SUCCESS)
}
