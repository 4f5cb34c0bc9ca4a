//! `keel create`.

use std::process::ExitCode;

use super::recipe::{Detached, Prepared, Recipe};
use super::run::failure;
use super::{Globals, Outcome, terminal};
use crate::container;

/// Make a container without starting it, and print its id
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel create --name web --memory 64m small httpd -f
  keel start web")]
pub(super) struct Args {
    #[command(flatten)]
    recipe: Recipe,
}

/// Makes it.
pub(super) fn run(args: Args, globals: &Globals) -> Outcome {
    let Prepared {
        store,
        hold,
        request,
    } = args.recipe.prepare(globals, Detached::NotYet)?;
    let made = container::create(&globals.root, store.storage(), request).map_err(failure)?;
    drop(hold);
    terminal::answer(&format!("{}\n", made.id()))?;
    Ok(ExitCode::SUCCESS)
}
