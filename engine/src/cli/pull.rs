//! `keel pull`, and how other verbs come by an image that is not here.

use std::process::ExitCode;

use super::load::tell_device_count;
use super::registry::{Transport, settings};
use super::transfer::{Told, Watch};
use super::{Globals, Outcome, terminal};
use crate::image::manifest::Platform;
use crate::image::reference::Reference;
use crate::image::registry::{Client, News, Pulled, Settings, pull};
use crate::image::store::{Image, Store, StoreError};

/// Get an image from a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel pull busybox                                 of Docker Hub
  keel pull --platform linux/arm64 registry.example.org/app:1
  keel pull busybox@sha256:…                        the very image, whatever its name stands for
  keel pull -a localhost:5000/app                   all tags

Everything is verified; of an image that is damaged or hostile nothing is kept.")]
pub(super) struct Args {
    /// The image
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    name: String,
    /// For another platform than this machine's
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// All tags of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Tell only the image's name
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    transport: Transport,
}

/// Pulls it.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let name: Reference = args.name.parse()?;
    let bare = Reference::of_repository(&args.name).is_some();
    if args.all_tags && !bare {
        return Err(anyhow::anyhow!("with `-a`, name a repository without a tag").into());
    }
    let store = Store::open(&globals.root, globals.driver()?)?;
    let client = Client::new(name.registry(), &args.transport.settings(name.registry()))?;
    let names = if args.all_tags {
        let tags = client.tags(name.path())?;
        tags.iter().filter_map(|tag| name.with_tag(tag)).collect()
    } else {
        if bare && !args.quiet {
            terminal::answer("Using default tag: latest\n")?;
        }
        vec![name]
    };
    let told = if args.quiet {
        Told::Warnings
    } else {
        Told::Layers
    };
    for name in &names {
        let pulled = one(&store, &client, name, args.platform.as_ref(), told)?;
        terminal::answer(&if args.quiet {
            format!("{name}\n")
        } else {
            summary(name, &pulled)
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Pulls an image, and tells how it goes.
fn one(
    store: &Store,
    client: &Client,
    name: &Reference,
    platform: Option<&Platform>,
    told: Told,
) -> anyhow::Result<Pulled> {
    if told == Told::Layers {
        let what = name.tag().map_or_else(
            || name.digest().map(ToString::to_string).unwrap_or_default(),
            str::to_owned,
        );
        terminal::message(&format!("{what}: Pulling from {}", name.path()));
    }
    let watch = Watch::new(told);
    let pulled = pull(store, client, name, platform, &watch)?;
    drop(watch);
    tell_device_count(pulled.devices);
    Ok(pulled)
}

/// In Docker's words.
fn summary(name: &Reference, pulled: &Pulled) -> String {
    let status = match pulled.news {
        News::Newer => "Downloaded newer image",
        News::None => "Image is up to date",
    };
    format!(
        "Digest: {}\nStatus: {status} for {}\n{name}\n",
        pulled.digest,
        name.familiar(),
    )
}

/// When an image is pulled before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Policy {
    /// Also if it is here
    Always,
    /// If it is not here
    Missing,
    /// Not at all
    Never,
}

/// The image that `text` names, pulled if `policy` wants that.
pub(super) fn find(
    store: &Store,
    text: &str,
    policy: Policy,
    platform: Option<&Platform>,
) -> anyhow::Result<Image> {
    // An id is no name.
    let name = match text.parse::<Reference>() {
        Ok(name) if !text.starts_with("sha256:") => name,
        _ => return Ok(store.resolve(text)?),
    };
    let found = match store.resolve(text) {
        Ok(image) if fits(&image, platform) => Some(image),
        Ok(_) if policy != Policy::Never => None,
        Ok(image) => Some(image),
        Err(error @ StoreError::NotFound(_)) if policy == Policy::Never => return Err(error.into()),
        Err(StoreError::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    match found {
        Some(image) if policy != Policy::Always => return Ok(image),
        Some(_) => {}
        None => terminal::message(&format!(
            "Unable to find image '{}' locally",
            name.familiar()
        )),
    }
    let settings: Settings = settings();
    let client = Client::new(name.registry(), &settings)?;
    let pulled = one(store, &client, &name, platform, Told::Layers)?;
    terminal::message(summary(&name, &pulled).trim_end());
    Ok(store.image(&pulled.id)?)
}

/// Whether an image is for the platform that is asked for.
fn fits(image: &Image, platform: Option<&Platform>) -> bool {
    let found = Platform {
        os: image.config.os.clone(),
        architecture: image.config.architecture.clone(),
        variant: image.config.variant.clone(),
    };
    platform.is_none_or(|wanted| wanted.takes(&found))
}
