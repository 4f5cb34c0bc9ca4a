//! `keel runtime create`.

use std::process::ExitCode;

use super::making::Making;
use crate::cli::Outcome;
use crate::oci::Runtime;

/// Make a container of a bundle; its program waits for `start`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel-runtime create --bundle /bundles/web web
  keel-runtime create --pid-file web.pid --console-socket web.sock web")]
pub(super) struct Args {
    #[command(flatten)]
    making: Making,
}

/// Makes it.
pub(super) fn run(args: &Args, runtime: &Runtime) -> Outcome {
    let making = &args.making;
    runtime.create(&making.id, &making.bundle()?, &making.creation()?)?;
    Ok(ExitCode::SUCCESS)
}
