//! `seaworthy guest-tool`: what the suites run inside of containers.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::guest_tool;

/// Run an applet of the suites' tool (used inside of containers)
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(super) struct Args {
    /// The applet
    applet: String,
    /// Its arguments, as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

pub(super) fn run(args: Args) -> ExitCode {
    guest_tool::run(&args.applet, args.args.into_iter())
}
