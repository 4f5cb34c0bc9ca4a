//! `keel runtime kill`.

use std::process::ExitCode;

use crate::cli::Outcome;
use crate::container::options::Signal;
use crate::oci::{ContainerId, Runtime, Whom};

/// Send a signal to a container
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel-runtime kill web
  keel-runtime kill web KILL
  keel-runtime kill --all web 9")]
pub(super) struct Args {
    /// To all of its processes, not to the first alone
    #[arg(short, long)]
    all: bool,
    /// The container
    #[arg(value_name = "ID")]
    id: ContainerId,
    /// The signal, by name or number
    #[arg(default_value_t = Signal::TERM)]
    signal: Signal,
}

/// Sends it.
pub(super) fn run(args: &Args, runtime: &Runtime) -> Outcome {
    let whom = if args.all { Whom::All } else { Whom::First };
    runtime.find(&args.id)?.signal(args.signal, whom)?;
    Ok(ExitCode::SUCCESS)
}
