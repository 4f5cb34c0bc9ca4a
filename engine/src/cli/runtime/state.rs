//! `keel runtime state`.

use std::process::ExitCode;

use crate::cli::{Outcome, terminal};
use crate::oci::{ContainerId, Runtime};

/// Tell what a container is and what it is doing, in JSON
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel-runtime state web")]
pub(super) struct Args {
    /// The container
    #[arg(value_name = "ID")]
    id: ContainerId,
}

/// Tells it.
pub(super) fn run(args: &Args, runtime: &Runtime) -> Outcome {
    let state = runtime.find(&args.id)?.into_state();
    terminal::answer(&(serde_json::to_string_pretty(&state)? + "\n"))?;
    Ok(ExitCode::SUCCESS)
}
