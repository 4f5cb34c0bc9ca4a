//! `keel image`: the verbs about images under one roof, as Docker has them.

mod prune;

use super::{Globals, Outcome, history, images, import, inspect, load, rmi, tag};

/// Look after images
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    #[command(visible_alias = "list")]
    Ls(images::Args),
    History(history::Args),
    Import(import::Args),
    Inspect(inspect::Images),
    Load(load::Args),
    Prune(prune::Args),
    #[command(visible_alias = "remove")]
    Rm(rmi::Args),
    Tag(tag::Args),
}

/// Does it.
pub(super) fn run(verb: Verb, globals: &Globals) -> Outcome {
    match verb {
        Verb::Ls(args) => images::run(&args, globals),
        Verb::History(args) => history::run(&args, globals),
        Verb::Import(args) => import::run(args, globals),
        Verb::Inspect(args) => inspect::run_images(&args, globals),
        Verb::Load(args) => load::run(args, globals),
        Verb::Prune(args) => prune::run(&args, globals),
        Verb::Rm(args) => rmi::run(&args, globals),
        Verb::Tag(args) => tag::run(&args, globals),
    }
}
