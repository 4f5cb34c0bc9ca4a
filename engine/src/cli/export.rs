//! `keel export`.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::{Globals, Outcome, terminal};
use crate::container::Containers;

/// Write a container's files to a tar, without its volumes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel export web | gzip > web.tar.gz
  keel export -o web.tar web && keel import web.tar web:copy

The same files give the same tar, byte for byte.")]
pub(super) struct Args {
    /// The file to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Name or id
    container: String,
}

/// Writes it.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let mut container = Containers::new(&globals.root).find(&args.container)?;
    let Some(path) = &args.output else {
        container.export(terminal::for_bytes()?)?;
        return Ok(ExitCode::SUCCESS);
    };
    let shown = || format!("cannot write `{}`", path.display());
    let file = File::create(path).with_context(shown)?;
    if let Err(error) = container.export(file) {
        // Half a tar is of no use to anybody; a device or pipe is.
        if path.is_file() {
            drop(std::fs::remove_file(path));
        }
        return Err(error.into());
    }
    Ok(ExitCode::SUCCESS)
}
