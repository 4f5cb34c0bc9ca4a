//! `keel import`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::load::{open, tell, tell_devices};
use super::{Globals, Outcome, terminal};
use crate::image::load::import;
use crate::image::reference::Reference;
use crate::image::store::Store;

/// Make an image of a root file system, and print its id
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel import rootfs.tar small
  debootstrap stable root && tar -C root -c . | keel import - debian:stable

The tar is plain or compressed by gzip or zstd.")]
pub(super) struct Args {
    /// A tar of the files; `-`: standard input
    #[arg(value_name = "TAR")]
    tar: PathBuf,
    /// Name for the image
    #[arg(value_name = "NAME")]
    name: Option<Reference>,
}

/// Makes it.
pub(super) fn run(args: Args, globals: &Globals) -> Outcome {
    let input = open(Some(args.tar))?;
    let store = Store::open(&globals.root, globals.driver()?)?;
    let image = import(&store, input, args.name.as_ref())?;
    tell_devices(&image);
    let name = args.name.as_ref().map(Reference::familiar);
    tell(
        globals,
        "import",
        &image.id.to_string(),
        &name.unwrap_or_default(),
    );
    terminal::answer(&format!("{}\n", image.id))?;
    Ok(ExitCode::SUCCESS)
}
