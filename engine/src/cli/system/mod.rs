//! `keel system`.

mod check;
mod df;
mod prune;
mod start;

use super::{Globals, Outcome};

/// Look after all that Keel keeps: what it takes, what is broken, what is of no use
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    Check(check::Args),
    Df(df::Args),
    Prune(prune::Args),
    Start(start::Args),
}

/// Does it.
pub(super) fn run(verb: &Verb, globals: &Globals) -> Outcome {
    match verb {
        Verb::Check(args) => check::run(args, globals),
        Verb::Df(args) => df::run(args, globals),
        Verb::Prune(args) => prune::run(args, globals),
        Verb::Start(args) => start::run(args, globals),
    }
}
