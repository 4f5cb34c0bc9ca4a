//! `seaworthy image`: the kernels that machines are booted with.

mod fetch;
mod list;
mod progress;
mod prune;

pub(crate) use fetch::{SourceArgs, fetch};

use std::path::PathBuf;

use vm_images::cache::Cache;
use vm_images::catalogue::Catalogue;
use vm_images::store::ImageStore;

use super::{Answer, Failure, InputContext};

/// Get, list and clear up the kernels that machines are booted with
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  seaworthy image list
  seaworthy image fetch debian-12/6.1/amd64 newest/amd64
  seaworthy image prune")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::Args),
    Fetch(fetch::Args),
    Prune(prune::Args),
}

/// Where kernels are kept and which there are; the same for every verb that needs kernels.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreArgs {
    /// Keep kernels in this folder [default: `seaworthy` in the user's cache folder]
    #[arg(long, value_name = "DIR", env = "SEAWORTHY_CACHE")]
    cache: Option<PathBuf>,
    /// Add the kernels that the `*.toml` files in this folder name
    #[arg(long, value_name = "DIR", env = "SEAWORTHY_CATALOGUE")]
    catalogue: Option<PathBuf>,
}

impl StoreArgs {
    /// Opens the store.
    pub(crate) fn open(&self) -> Result<ImageStore, Failure> {
        let catalogue = match &self.catalogue {
            Some(dir) => Catalogue::with_overrides(dir).or_bad_input()?,
            None => Catalogue::built_in()?,
        };
        let cache = match &self.cache {
            Some(dir) => dir.clone(),
            None => Cache::default_root(|name| std::env::var_os(name)),
        };
        Ok(ImageStore::open(&cache, catalogue))
    }
}

pub(super) fn run(args: &Args) -> Result<Answer, Failure> {
    match &args.command {
        Command::List(args) => list::run(args),
        Command::Fetch(args) => fetch::run(args),
        Command::Prune(args) => prune::run(args),
    }
}

/// A size for people: `26.5 MB`.
fn megabytes(bytes: u64) -> String {
    let tenths = bytes.saturating_add(50_000) / 100_000;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}
