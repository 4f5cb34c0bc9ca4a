//! `keel system start`.

use super::super::{Globals, Outcome, each};
use crate::container::Containers;

/// Start what restart policies promise after a reboot
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  keel system start

Starts containers with `--restart always`, and those with `--restart unless-stopped` that nobody had
stopped, unless they run. To be called once when the machine starts: the book has a unit for systemd.")]
pub(in crate::cli) struct Args {}

/// Starts them, and prints their names.
pub(super) fn run(_args: &Args, globals: &Globals) -> Outcome {
    let promised = Containers::new(&globals.root).promised_after_boot()?;
    each::for_each(globals, &promised, |mut container| {
        container.start().map(|()| None)
    })
}
