//! `keel runtime start`.

use std::process::ExitCode;

use crate::cli::Outcome;
use crate::oci::{ContainerId, Runtime};

/// Start the program of a created container
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel-runtime start web")]
pub(super) struct Args {
    /// The container
    #[arg(value_name = "ID")]
    id: ContainerId,
}

/// Starts it.
pub(super) fn run(args: &Args, runtime: &Runtime) -> Outcome {
    runtime.find_to_change(&args.id)?.start()?;
    Ok(ExitCode::SUCCESS)
}
