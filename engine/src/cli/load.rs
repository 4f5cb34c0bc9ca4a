//! `keel load`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{Globals, Outcome, terminal};
use crate::events::{Event, Journal, Kind};
use crate::image::load::{Input, Loaded, load};
use crate::image::reference::Reference;
use crate::image::store::Store;
use crate::sys::user_namespace::is_root_alone;

/// Load images from an archive: an OCI layout or what `docker save` writes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  docker save busybox | keel load
  keel load -i busybox.tar.gz
  keel load --tag me/app:1.0 ./layout     an OCI layout in a folder

The archive is a tar, plain or compressed by gzip or zstd, or a folder. Layers are verified; of an
archive that is damaged or hostile nothing is kept.")]
pub(super) struct Args {
    /// The archive; `-` or nothing: standard input
    #[arg(value_name = "ARCHIVE", conflicts_with = "input")]
    archive: Option<PathBuf>,
    /// The archive, as Docker names it
    #[arg(short, long, value_name = "ARCHIVE")]
    input: Option<PathBuf>,
    /// Name for the image, if the archive has just one
    #[arg(short, long, value_name = "NAME")]
    tag: Option<Reference>,
    /// Tell only what went wrong
    #[arg(short, long)]
    quiet: bool,
}

/// Loads them.
pub(super) fn run(args: Args, globals: &Globals) -> Outcome {
    let input = open(args.archive.or(args.input))?;
    let store = Store::open(&globals.root, globals.driver()?)?;
    for image in load(&store, input, args.tag.as_ref())? {
        for name in image.names.iter().map(Reference::familiar) {
            tell(globals, "load", &image.id.to_string(), &name);
        }
        tell_devices(&image);
        if !args.quiet {
            terminal::answer(&loaded(&image))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A file or folder, or standard input, unless that is somebody's keyboard.
pub(super) fn open(path: Option<PathBuf>) -> anyhow::Result<Input> {
    match path {
        Some(path) if path.as_os_str() != "-" => Ok(Input::Path(path)),
        _ => {
            use std::io::IsTerminal as _;
            let stdin = std::io::stdin();
            if stdin.is_terminal() {
                anyhow::bail!("standard input is a terminal: name an archive, or pipe one in");
            }
            Ok(Input::Stream(Box::new(stdin)))
        }
    }
}

/// Tells the journal of events what happened to an image.
pub(super) fn tell(globals: &Globals, action: &str, id: &str, name: &str) {
    let attributes = BTreeMap::from([("name".to_owned(), name.to_owned())]);
    let event = Event::now(Kind::Image, action, id, attributes);
    Journal::of(&globals.root).record(&event);
}

/// Says so when device nodes were left out, or owners.
pub(super) fn tell_devices(image: &Loaded) {
    tell_device_count(image.devices);
}

/// Says so when this many device nodes were left out, or owners.
pub(super) fn tell_device_count(devices: u64) {
    if is_root_alone() {
        terminal::message(
            "keel: all files of the image belong to its root: this user has no ranges in \
             /etc/subuid and /etc/subgid, or newuidmap and newgidmap are not installed",
        );
    }
    if devices > 0 {
        terminal::message(&format!(
            "keel: {devices} device nodes of the image were left out; every container gets its own `/dev`"
        ));
    }
}

/// In Docker's words.
fn loaded(image: &Loaded) -> String {
    if image.names.is_empty() {
        return format!("Loaded image ID: {}\n", image.id);
    }
    let lines = image
        .names
        .iter()
        .map(|name| format!("Loaded image: {}\n", name.familiar()));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::{Digest, ImageId};

    #[test]
    fn an_image_is_told_by_its_names_or_else_by_its_id() {
        let mut image = Loaded {
            id: ImageId::new(Digest::of(b"")),
            names: vec!["busybox".parse().unwrap(), "a.b/c:d".parse().unwrap()],
            devices: 0,
        };
        insta::assert_snapshot!(loaded(&image), @r"
        Loaded image: busybox:latest
        Loaded image: a.b/c:d
        ");
        image.names.clear();
        insta::assert_snapshot!(loaded(&image), @"Loaded image ID: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
