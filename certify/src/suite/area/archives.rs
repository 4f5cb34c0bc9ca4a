//! Archives that an engine takes, and those that it must refuse.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use crate::suite::case::{Case, Proof, case};
use crate::suite::check::{holds, same};
use crate::suite::image::{Archive, BASE, Entry, Image, Layer};
use crate::suite::scene::{Scene, succeeded};

pub(super) const CASES: &[Case] = &[
    case(
        "images.oci-layout-is-loaded",
        &["oci.image.layout"],
        |scene| loads(scene, Archive::Oci),
    ),
    case(
        "images.gzip-layers-are-loaded",
        &["oci.image.layer.gzip"],
        |scene| loads(scene, Archive::OciGzip),
    ),
    case(
        "images.docker-archive-is-loaded",
        &["docker.load"],
        |scene| loads(scene, Archive::Docker),
    ),
    case("images.root-tar-is-imported", &["docker.import"], imports),
    case(
        "images.id-is-the-digest-of-the-configuration",
        &["oci.image.id"],
        id,
    ),
    case(
        "images.wrong-diff-id-is-refused",
        &["oci.image.config.diff-ids"],
        wrong_diff_id,
    ),
    case(
        "images.wrong-blob-digest-is-refused",
        &["oci.image.descriptor.digest"],
        wrong_digest,
    ),
    case(
        "images.truncated-archive-is-refused",
        &["engine.images.atomic"],
        truncated,
    ),
    case(
        "images.what-is-no-archive-is-refused",
        &["engine.images.atomic"],
        nonsense,
    ),
    case("images.in-use-are-not-removed", &["docker.rmi"], in_use),
    case("images.removed-are-gone", &["docker.rmi"], removed),
];

/// An image of one small file; the tool comes in as a volume.
fn small(scene: &Scene<'_>) -> Proof<Image> {
    // A container's name is as good for an image.
    let tag = format!("localhost/{}:1", scene.name());
    let layer = Layer::new(&[
        Entry::folder("etc/"),
        Entry::file("etc/who", format!("{tag}\n")),
    ])?;
    Ok(Image::new(&tag, &[layer]))
}

fn load(scene: &Scene<'_>, archive: &std::path::Path) -> Proof<crate::adapter::Finished> {
    scene.engine("load", [OsStr::new("-i"), archive.as_os_str()])
}

/// What the image's file says, read by the tool from a volume.
fn who(scene: &Scene<'_>, tag: &str) -> Proof<String> {
    let volume = format!("{}:/tool:ro", scene.tool_file()?.display());
    let options = ["--volume", &volume, "--entrypoint", "/tool"];
    scene.image_says(tag, &options, &["guest-tool", "read", "/etc/who"])
}

fn loads(scene: &Scene<'_>, archive: Archive) -> Proof {
    let folder = scene.folder()?;
    let file = folder.path().join("image.tar");
    let image = small(scene)?;
    archive.write(std::slice::from_ref(&image), &file)?;
    succeeded(&load(scene, &file)?)?;
    same(
        "its file",
        who(scene, &image.tag)?,
        format!("{}\n", image.tag),
    )?;
    succeeded(&scene.engine("rmi", [&image.tag])?)
}

fn imports(scene: &Scene<'_>) -> Proof {
    let folder = scene.folder()?;
    let file = folder.path().join("root.tar");
    let image = small(scene)?;
    let layer = image
        .layers
        .first()
        .map(|layer| layer.tar.to_vec())
        .unwrap_or_default();
    fs::write(&file, layer)?;
    succeeded(&scene.engine("import", [file.as_os_str(), OsStr::new(&image.tag)])?)?;
    same(
        "its file",
        who(scene, &image.tag)?,
        format!("{}\n", image.tag),
    )?;
    succeeded(&scene.engine("rmi", [&image.tag])?)
}

fn id(scene: &Scene<'_>) -> Proof {
    let folder = scene.folder()?;
    let file = folder.path().join("image.tar");
    let image = small(scene)?;
    Archive::Docker.write(std::slice::from_ref(&image), &file)?;
    succeeded(&load(scene, &file)?)?;
    let listed = scene.engine_ok("images", [""; 0])?;
    let id = image.id();
    let short = id
        .trim_start_matches("sha256:")
        .get(..12)
        .unwrap_or_default();
    let repository = image.tag.trim_end_matches(":1");
    let line = listed.lines().find(|line| line.contains(repository));
    holds(line.is_some_and(|line| line.contains(short)), || {
        format!("`images` doesn't list {repository} as {short}: {listed}")
    })?;
    succeeded(&scene.engine("rmi", [&image.tag])?)
}

/// Loading must fail, and leave no image of that name, nor harm to others.
fn refused(scene: &Scene<'_>, tag: &str, archive: &std::path::Path) -> Proof {
    scene.takes_good_images()?;
    let done = load(scene, archive)?;
    holds(done.code() != 0, || {
        format!("it was loaded: {}", done.account())
    })?;
    holds(!done.stderr.is_empty(), || {
        "nothing on stderr says why it was refused".to_owned()
    })?;
    let listed = scene.engine_ok("images", [""; 0])?;
    let repository = tag.trim_end_matches(":1");
    holds(!listed.contains(repository), || {
        format!("it is listed all the same: {listed}")
    })?;
    scene.runs_good_image()
}

fn wrong_diff_id(scene: &Scene<'_>) -> Proof {
    let folder = scene.folder()?;
    let file = folder.path().join("image.tar");
    let mut image = small(scene)?;
    let other = Layer::new(&[Entry::file("etc/who", "another\n")])?;
    image.claimed = Some(vec![other.diff_id]);
    Archive::Docker.write(std::slice::from_ref(&image), &file)?;
    refused(scene, &image.tag, &file)
}

fn wrong_digest(scene: &Scene<'_>) -> Proof {
    let folder = scene.folder()?;
    let file = folder.path().join("image.tar");
    let image = small(scene)?;
    Archive::OciCorrupt.write(std::slice::from_ref(&image), &file)?;
    refused(scene, &image.tag, &file)
}

fn truncated(scene: &Scene<'_>) -> Proof {
    let folder = scene.folder()?;
    let file = folder.path().join("image.tar");
    let mut image = small(scene)?;
    // In the middle of the layer, which comes before the manifest that names it.
    let padding = Layer::new(&[Entry::file("padding", vec![b'x'; 1 << 20])])?;
    image.layers.push(padding);
    Archive::Docker.write(std::slice::from_ref(&image), &file)?;
    let whole = fs::read(&file)?;
    fs::write(&file, whole.get(..whole.len() / 2).unwrap_or_default())?;
    refused(scene, &image.tag, &file)
}

fn nonsense(scene: &Scene<'_>) -> Proof {
    let folder = scene.folder()?;
    for (name, bytes) in [
        ("empty.tar", Vec::new()),
        ("noise.tar", b"no archive at all\n".repeat(99)),
    ] {
        let file: PathBuf = folder.path().join(name);
        fs::write(&file, bytes)?;
        refused(scene, "localhost/seaworthy-nonsense:1", &file)?;
    }
    Ok(())
}

fn in_use(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["pause"])?;
    let done = scene.engine("rmi", [BASE])?;
    holds(done.code() != 0, || {
        format!(
            "the image of a running container was removed: {}",
            done.account()
        )
    })?;
    same(
        "the container",
        container.exec_says(&["read", "/etc/release"])?.as_str(),
        "Seaworthy guest\n",
    )?;
    same(
        "a new container",
        scene.says(&[], &["read", "/etc/release"])?.as_str(),
        "Seaworthy guest\n",
    )
}

fn removed(scene: &Scene<'_>) -> Proof {
    let folder = scene.folder()?;
    let file = folder.path().join("image.tar");
    let image = small(scene)?;
    Archive::Docker.write(std::slice::from_ref(&image), &file)?;
    succeeded(&load(scene, &file)?)?;
    let repository = image.tag.trim_end_matches(":1");
    let lists = || -> Proof<bool> { Ok(scene.engine_ok("images", [""; 0])?.contains(repository)) };
    same("listed after loading", lists()?, true)?;
    succeeded(&scene.engine("rmi", [&image.tag])?)?;
    same("listed after removing", lists()?, false)?;
    let again = scene.engine("rmi", [&image.tag])?;
    holds(again.code() != 0, || "it could be removed twice".to_owned())
}
