//! `keel save`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::{Globals, Outcome, terminal};
use crate::image::save::save;
use crate::image::store::Store;

/// Write images to an archive, which `load` of this and other engines reads
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel save -o busybox.tar busybox:1.36
  keel save me/app me/db:2 | zstd > images.tar.zst     all tags of me/app
  keel save small | docker load

The archive is an OCI layout and a docker-archive in one. The same images give the same bytes.")]
pub(super) struct Args {
    /// The file to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

/// Saves them.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let store = || -> anyhow::Result<Store> { Ok(Store::open(&globals.root, globals.driver()?)?) };
    if let Some(path) = &args.output {
        to_file(&store()?, &args.images, path)?;
    } else {
        let stdout = terminal::for_bytes()?;
        save(&store()?, &args.images, stdout)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a file that is there wholly or, when that fails, as it was before; a FIFO or device is
/// written to as it is.
fn to_file(store: &Store, images: &[String], path: &Path) -> anyhow::Result<()> {
    let failed = || format!("cannot write `{}`", path.display());
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        let file = File::options()
            .write(true)
            .open(path)
            .with_context(failed)?;
        return Ok(save(store, images, BufWriter::new(file))?);
    }
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".new-{}", std::process::id()));
    let new = PathBuf::from(new);
    let write = || -> anyhow::Result<()> {
        let mut file = BufWriter::new(File::create(&new).with_context(failed)?);
        save(store, images, &mut file)?;
        file.flush().with_context(failed)?;
        fs::rename(&new, path).with_context(failed)
    };
    write().inspect_err(|_| {
        // What went wrong first is what is told.
        drop::<io::Result<()>>(fs::remove_file(&new));
    })
}
