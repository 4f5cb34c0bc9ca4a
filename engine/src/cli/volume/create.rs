//! `keel volume create`.

use std::process::ExitCode;

use super::super::{Globals, Outcome, terminal};
use crate::container::options::Label;
use crate::volume::{Naming, VolumeName, Volumes};

/// Make a volume, and print its name
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel volume create data
  keel volume create --label kind=cache

One that is there already is left as it is.")]
pub(in crate::cli) struct Args {
    /// A label
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    label: Vec<Label>,
    /// `local`, as there is no other
    #[arg(short, long, default_value = "local", value_parser = ["local"])]
    driver: String,
    /// Its name [default: one is chosen]
    #[arg(value_name = "NAME")]
    name: Option<VolumeName>,
}

/// Makes it.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let volumes = Volumes::new(&globals.root);
    let _hold = volumes.share()?;
    let (name, naming) = match &args.name {
        Some(name) => (name.clone(), Naming::Named),
        None => (VolumeName::random()?, Naming::Anonymous),
    };
    let labels = args
        .label
        .iter()
        .map(|label| (label.key.clone(), label.value.clone()));
    volumes.ensure(&name, &labels.collect(), naming)?;
    terminal::answer(&format!("{name}\n"))?;
    Ok(ExitCode::SUCCESS)
}
