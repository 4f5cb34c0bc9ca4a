//! `keel rmi`.

use std::process::ExitCode;

use super::load::tell;
use super::{FAILED, Failure, Globals, Outcome, terminal};
use crate::container::Containers;
use crate::image::digest::ImageId;
use crate::image::store::{Force, Removed, Store};

/// Remove names of images, and images that have no name left
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel rmi busybox
  keel rmi $(keel images -q)")]
pub(super) struct Args {
    /// Also names of an image that a container uses, and images with several names
    #[arg(short, long)]
    force: bool,
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

/// Removes what can be removed, and tells the rest.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let store = Store::open(&globals.root, globals.driver()?)?;
    let containers = Containers::new(&globals.root);
    let users = |id: &ImageId| Ok(containers.users_of(id)?);
    let force = if args.force { Force::Yes } else { Force::No };
    let mut code = ExitCode::SUCCESS;
    for image in &args.images {
        match store.remove(image, force, &users) {
            Ok(removed) => {
                record(globals, &removed);
                terminal::answer(&told(&removed))?;
            }
            Err(error) => {
                terminal::message(&Failure::from(error).to_string());
                code = ExitCode::from(FAILED);
            }
        }
    }
    Ok(code)
}

/// Tells the journal of events. A name is told with itself for an id, as the image may be gone.
fn record(globals: &Globals, removed: &[Removed]) {
    for removed in removed {
        match removed {
            Removed::Name(name) => tell(globals, "untag", &name.familiar(), &name.familiar()),
            Removed::Image(id) => tell(globals, "delete", &id.to_string(), &id.to_string()),
            Removed::Layer(_) => {}
        }
    }
}

/// In Docker's words.
fn told(removed: &[Removed]) -> String {
    removed
        .iter()
        .map(|removed| match removed {
            Removed::Name(name) => format!("Untagged: {}\n", name.familiar()),
            Removed::Image(id) => format!("Deleted: {id}\n"),
            Removed::Layer(chain) => format!("Deleted: {chain}\n"),
        })
        .collect()
}
