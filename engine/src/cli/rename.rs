//! `keel rename`.

use std::process::ExitCode;

use super::{Globals, Outcome};
use crate::container::Containers;
use crate::container::name::Name;

/// Give a container another name, also while it runs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  keel rename web web-old")]
pub(super) struct Args {
    /// Name or id
    container: String,
    /// The new name
    name: Name,
}

/// Renames it.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let containers = Containers::new(&globals.root);
    containers.rename(containers.find(&args.container)?, &args.name)?;
    Ok(ExitCode::SUCCESS)
}
