//! `keel runtime pause`.

use std::process::ExitCode;

use crate::cli::Outcome;
use crate::oci::{ContainerId, Runtime};

/// Stop all processes of a container where they are
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel-runtime pause web")]
pub(super) struct Args {
    /// The container
    #[arg(value_name = "ID")]
    id: ContainerId,
}

/// Stops them.
pub(super) fn run(args: &Args, runtime: &Runtime) -> Outcome {
    runtime.find_to_change(&args.id)?.pause()?;
    Ok(ExitCode::SUCCESS)
}
