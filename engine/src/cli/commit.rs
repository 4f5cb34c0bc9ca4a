//! `keel commit`.

use std::process::ExitCode;

use super::load::tell_devices;
use super::{Globals, Outcome, terminal};
use crate::container::{Commit, Containers, Pause};
use crate::image::reference::Reference;
use crate::image::store::Store;

/// Make an image of what a container changed, and print its id
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel commit web web:patched
  keel commit -m 'a newer library' -c 'CMD [\"/bin/server\", \"-v\"]' -c 'ENV DEBUG=1' web web:debug

A change is one of the instructions CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD,
SHELL, STOPSIGNAL, USER, VOLUME and WORKDIR. What lies in volumes is not part of the image. Where
SOURCE_DATE_EPOCH is set, the image says that it was made then, and the same changes give the same
image.")]
pub(super) struct Args {
    /// Who made it, such as `Jo Doe <jo@example.org>`
    #[arg(short, long, value_name = "TEXT")]
    author: Option<String>,
    /// A remark
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// An instruction that changes the configuration; several are made in order
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Pause the container meanwhile
    #[arg(
        short,
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pause: bool,
    /// Name or id
    container: String,
    /// Name for the image
    #[arg(value_name = "NAME")]
    name: Option<Reference>,
}

/// Makes it.
pub(super) fn run(args: Args, globals: &Globals) -> Outcome {
    let mut container = Containers::new(&globals.root).find(&args.container)?;
    // Its layers are where its own image has them.
    let driver = container.config().driver.parse()?;
    let store = Store::open(&globals.root, Some(driver))?;
    let commit = Commit {
        name: args.name,
        author: args.author,
        message: args.message,
        changes: args.change,
        pause: if args.pause { Pause::Yes } else { Pause::No },
    };
    let image = container.commit(&store, commit)?;
    tell_devices(&image);
    terminal::answer(&format!("{}\n", image.id))?;
    Ok(ExitCode::SUCCESS)
}
