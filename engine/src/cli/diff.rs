//! `keel diff`.

use std::process::ExitCode;

use super::{Globals, Outcome, terminal};
use crate::container::Containers;

/// Show what a container changed: A added, C changed, D deleted
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  keel diff web")]
pub(super) struct Args {
    /// Name or id
    container: String,
}

/// Shows it.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let container = Containers::new(&globals.root).find(&args.container)?;
    let mut text = String::new();
    for change in container.changes()? {
        text.push(change.kind.letter());
        text.push(' ');
        text += &change.path.to_string_lossy();
        text.push('\n');
    }
    terminal::answer(&text)?;
    Ok(ExitCode::SUCCESS)
}
