//! `keel volume`.

mod create;
mod inspect;
mod ls;
mod prune;
mod rm;

use super::{Globals, Outcome};

/// Look after volumes: folders that outlive containers
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    Create(create::Args),
    Inspect(inspect::Args),
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    Prune(prune::Args),
    #[command(visible_alias = "remove")]
    Rm(rm::Args),
}

/// Does it.
pub(super) fn run(verb: &Verb, globals: &Globals) -> Outcome {
    match verb {
        Verb::Create(args) => create::run(args, globals),
        Verb::Inspect(args) => inspect::run(args, globals),
        Verb::Ls(args) => ls::run(args, globals),
        Verb::Prune(args) => prune::run(args, globals),
        Verb::Rm(args) => rm::run(args, globals),
    }
}
