//! `keel runtime run`.

use std::process::ExitCode;

use super::log::Log;
use super::making::Making;
use crate::cli::Outcome;
use crate::container::foreground;
use crate::oci::{Error, Force, Runtime};

/// Make a container of a bundle, start its program, wait for its end and delete it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel-runtime run --bundle /bundles/web web
  keel-runtime run --detach --pid-file web.pid web

The exit code is the program's own, or 128+n if signal n killed it.")]
pub(super) struct Args {
    #[command(flatten)]
    making: Making,
    /// Do not wait for its end
    #[arg(short, long)]
    detach: bool,
    /// Keep it when it has ended
    #[arg(long)]
    keep: bool,
    /// Accepted for runc's sake: this runtime reaps no orphans of its containers
    #[arg(long)]
    no_subreaper: bool,
}

/// Runs it.
pub(super) fn run(args: &Args, runtime: &Runtime, log: &Log) -> Outcome {
    let making = &args.making;
    let bundle = making.bundle()?;
    let creation = making.creation()?;
    if args.detach {
        runtime.create(&making.id, &bundle, &creation)?;
        let container = runtime.find_to_change(&making.id)?;
        if let Err(error) = container.start() {
            // The first error is what matters.
            let _deleted = runtime.delete(&container, Force::Yes);
            return Err(error.into());
        }
        return Ok(ExitCode::SUCCESS);
    }
    foreground::hold_signals();
    let running = runtime.run(&making.id, &bundle, &creation)?;
    let status = foreground::wait(running.process.pid(), running.console.as_ref())?;
    if !args.keep {
        match runtime.find_to_change(&making.id) {
            // Somebody else has deleted it.
            Err(Error::NotFound(_)) => {}
            found => log.warn(&runtime.delete(&found?, Force::Yes)?),
        }
    }
    Ok(ExitCode::from(status.code()))
}
