//! `seaworthy agent`: this program's part in a guest.

use std::ffi::OsStr;
use std::process::ExitCode;

use vm_images::agent::{init, server};

use super::{Answer, Failure};

/// Serve the guest channel
///
/// The harness starts this in guests and at the other end of ssh connections.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Serve the client at the other end of standard input and output
    #[arg(long, required = true)]
    stdio: bool,
}

pub(super) fn run(_args: &Args) -> Result<Answer, Failure> {
    match server::serve_stdio()? {
        server::End::Closed | server::End::PowerOff => Ok(Answer::Yes),
        server::End::Silent => Ok(Answer::No),
    }
}

/// Runs as the init process, if this process is the one of a guest that it was put into.
pub(super) fn run_as_init(argv0: Option<&OsStr>) -> Option<ExitCode> {
    argv0
        .is_some_and(init::is_init)
        .then(vm_images::agent::init::run)
}
