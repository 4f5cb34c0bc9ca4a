//! `keel inspect` and `keel image inspect`.

use std::process::ExitCode;

use serde_json::Value;

use super::template::Template;
use super::{FAILED, Failure, Globals, Outcome, terminal};
use crate::container::{Containers, Error};
use crate::image::store::{Store, StoreError};

/// Show all about containers and images, as JSON
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel inspect web
  keel inspect -f '{{.State.Pid}}' web
  keel inspect -f '{{json .HostConfig.Binds}}' web
  keel inspect --type image -f '{{.Config.Env}}' small")]
pub(super) struct Args {
    /// A template such as `{{.State.Status}}`, or `json` for one line each
    #[arg(short, long)]
    format: Option<Template>,
    /// What the names are of [default: a container, or else an image]
    #[arg(
        long = "type",
        value_name = "container|image",
        hide_possible_values = true
    )]
    kind: Option<Kind>,
    /// Names or ids
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// Show all about images, as JSON
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel image inspect small
  keel image inspect -f '{{json .RootFS.Layers}}' small")]
pub(super) struct Images {
    /// A template such as `{{.Id}}`, or `json` for one line an image
    #[arg(short, long)]
    format: Option<Template>,
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

/// What can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A container.
    Container,
    /// An image.
    Image,
}

/// Shows it. What is not there is told, and the others are shown all the same.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    show(&args.names, args.format.as_ref(), |name| match args.kind {
        Some(Kind::Container) => container(name, globals),
        Some(Kind::Image) => image(name, globals),
        None => either(name, globals),
    })
}

/// The same of images alone.
pub(super) fn run_images(args: &Images, globals: &Globals) -> Outcome {
    show(&args.images, args.format.as_ref(), |name| {
        image(name, globals)
    })
}

fn show(
    names: &[String],
    format: Option<&Template>,
    look: impl Fn(&str) -> Result<Value, Failure>,
) -> Outcome {
    let mut code = ExitCode::SUCCESS;
    let mut found = Vec::new();
    for name in names {
        match look(name) {
            Ok(document) => found.push(document),
            Err(failure) => {
                terminal::message(&failure.to_string());
                code = ExitCode::from(FAILED);
            }
        }
    }
    let text = match format {
        Some(template) => template.render_lines(&found)?,
        None => format!("{:#}\n", Value::from(found)),
    };
    terminal::answer(&text)?;
    Ok(code)
}

fn container(name: &str, globals: &Globals) -> Result<Value, Failure> {
    Ok(Containers::new(&globals.root).find(name)?.inspect())
}

fn image(name: &str, globals: &Globals) -> Result<Value, Failure> {
    let store = Store::open(&globals.root, globals.driver()?)?;
    let image = store.resolve(name)?;
    Ok(store.inspect(&image)?)
}

/// A container, or else an image. Where there is neither, one message says so for both.
fn either(name: &str, globals: &Globals) -> Result<Value, Failure> {
    match Containers::new(&globals.root).find(name) {
        Ok(container) => return Ok(container.inspect()),
        Err(Error::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let store = Store::open(&globals.root, globals.driver()?)?;
    match store.resolve(name) {
        Ok(image) => Ok(store.inspect(&image)?),
        Err(StoreError::NotFound(_)) => Err(anyhow::anyhow!(
            "no container and no image is called `{name}`; `keel ps -a` and `keel images` list them all"
        )
        .into()),
        Err(error) => Err(error.into()),
    }
}
