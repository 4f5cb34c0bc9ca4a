//! `keel tag`.

use std::process::ExitCode;

use super::{Globals, Outcome};
use crate::image::reference::Reference;
use crate::image::store::Store;

/// Give an image a further name
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel tag small registry.example:5000/team/small:1.0
  keel tag 3f2a9c01b7d4 small")]
pub(super) struct Args {
    /// The image: a name or an id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The further name; another image that has it loses it
    #[arg(value_name = "NAME")]
    name: Reference,
}

/// Gives it.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let store = Store::open(&globals.root, globals.driver()?)?;
    if args.name.digest().is_some() {
        return Err(anyhow::anyhow!(
            "`{}` has a digest, which an image has or has not: give a name with a tag",
            args.name.familiar()
        )
        .into());
    }
    let image = store.resolve(&args.image)?;
    store.tag(&args.name, &image.id)?;
    Ok(ExitCode::SUCCESS)
}
