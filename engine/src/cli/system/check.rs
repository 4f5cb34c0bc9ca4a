//! `keel system check`.

use std::process::ExitCode;

use super::super::{FAILED, Globals, Outcome, terminal};
use crate::container::Containers;
use crate::image::store::Store;

/// Find what is broken below the root folder, and what killed processes left there
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  keel system check || keel system prune -f

Exit codes: 0 all is as it should be; 1 something is not, and a line says what and how to mend it.")]
pub(in crate::cli) struct Args {}

/// Looks, and changes nothing but what every look at a container puts right.
pub(super) fn run(_args: &Args, globals: &Globals) -> Outcome {
    let store = Store::open(&globals.root, globals.driver()?)?;
    let containers = Containers::new(&globals.root);
    let findings = containers.check(&store)?;
    if findings.is_empty() {
        terminal::answer("Nothing is broken, and nothing was left behind.\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let lines = findings.iter().map(|finding| format!("{finding}\n"));
    terminal::answer(&lines.collect::<String>())?;
    Ok(ExitCode::from(FAILED))
}
