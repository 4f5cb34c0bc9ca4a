//! `keel push`.

use std::process::ExitCode;

use super::registry::Transport;
use super::transfer::{Told, Watch};
use super::{Globals, Outcome, terminal};
use crate::image::reference::Reference;
use crate::image::registry::{Client, push};
use crate::image::store::Store;

/// Put an image into a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel push registry.example.org/app:1
  keel push -a localhost:5000/app                   all tags that are here

What the registry has already is not sent again.")]
pub(super) struct Args {
    /// The image, by the name that it is to have there
    #[arg(value_name = "NAME[:TAG]")]
    name: String,
    /// All tags of the repository that are here
    #[arg(short, long)]
    all_tags: bool,
    /// Tell only the image's name
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    transport: Transport,
}

/// Pushes it.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let name: Reference = args.name.parse()?;
    let bare = Reference::of_repository(&args.name).is_some();
    if args.all_tags && !bare {
        return Err(anyhow::anyhow!("with `-a`, name a repository without a tag").into());
    }
    let store = Store::open(&globals.root, globals.driver()?)?;
    let names: Vec<Reference> = if args.all_tags {
        let all = store.names()?.into_iter().map(|(name, _)| name);
        all.filter(|tag| tag.tag().is_some() && tag.is_in(&name))
            .collect()
    } else {
        vec![name.clone()]
    };
    if names.is_empty() {
        return Err(anyhow::anyhow!("no image here is called `{}`", args.name).into());
    }
    let told = if args.quiet {
        Told::Warnings
    } else {
        if bare && !args.all_tags {
            terminal::answer("Using default tag: latest\n")?;
        }
        let repository = format!("{}/{}", name.registry(), name.path());
        terminal::answer(&format!("The push refers to repository [{repository}]\n"))?;
        Told::Layers
    };
    let client = Client::new(name.registry(), &args.transport.settings(name.registry()))?;
    for name in &names {
        let watch = Watch::new(told);
        let pushed = push(&store, &client, name, &watch)?;
        drop(watch);
        terminal::answer(&if args.quiet {
            format!("{name}\n")
        } else {
            format!(
                "{}: digest: {} size: {}\n",
                name.tag().unwrap_or_default(),
                pushed.digest,
                pushed.bytes
            )
        })?;
    }
    Ok(ExitCode::SUCCESS)
}
