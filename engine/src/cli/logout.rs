//! `keel logout`.

use std::process::ExitCode;

use super::registry::{Server, settings, shown};
use super::{Globals, Outcome, terminal};

/// Forget name and password for a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel logout
  keel logout registry.example.org")]
pub(super) struct Args {
    /// The registry, `host[:port]` [default: Docker Hub]
    server: Option<Server>,
}

/// Logs out.
pub(super) fn run(args: Args, _globals: &Globals) -> Outcome {
    let Server(server) = args.server.unwrap_or_default();
    let shown = shown(&server);
    terminal::answer(&if settings().config.erase(&server)? {
        format!("Removing login credentials for {shown}\n")
    } else {
        format!("Not logged in to {shown}\n")
    })?;
    Ok(ExitCode::SUCCESS)
}
