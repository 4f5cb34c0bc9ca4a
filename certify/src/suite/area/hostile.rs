//! Layers that try to reach the host while they are unpacked (CVE-2014-6407, CVE-2014-9356
//! and their kind). To refuse one is right, and so is to keep all of it inside.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::suite::case::{Case, Proof, case};
use crate::suite::check::{holds, same};
use crate::suite::image::{Archive, Entry, Image, Layer};
use crate::suite::scene::Scene;

pub(super) const CASES: &[Case] = &[
    case(
        "images.dot-dot-cannot-escape",
        &["engine.unpack.inside"],
        dot_dot,
    ),
    case(
        "images.absolute-paths-cannot-escape",
        &["engine.unpack.inside"],
        absolute,
    ),
    case(
        "images.symbolic-links-cannot-escape",
        &["engine.unpack.links"],
        symbolic_links,
    ),
    case(
        "images.hard-links-cannot-escape",
        &["engine.unpack.links"],
        hard_links,
    ),
    case(
        "images.whiteouts-cannot-escape",
        &["engine.unpack.whiteouts"],
        whiteouts,
    ),
];

/// Enough to reach the root from wherever an engine unpacks.
const UP: &str = "../../../../../../../../..";

/// Loads an image of these layers, made for the folder of the host that they aim at, and looks
/// whether anything in it changed: a file `secret`, and nothing else.
fn attack(scene: &Scene<'_>, layers: impl Fn(&str) -> Vec<Vec<Entry>>) -> Proof {
    let folder = scene.folder()?;
    let prey = folder.path().join("prey");
    fs::create_dir(&prey)?;
    fs::write(prey.join("secret"), "of the host\n")?;
    let archive = folder.path().join("image.tar");
    let tag = format!("localhost/{}:1", scene.name());
    let layers = layers(&prey.display().to_string())
        .iter()
        .map(|entries| Layer::new(entries))
        .collect::<std::io::Result<Vec<_>>>()?;
    Archive::Docker.write(&[Image::new(&tag, &layers)], &archive)?;

    // Or an engine that refuses all images would pass.
    scene.takes_good_images()?;
    let loaded = scene.engine("load", [OsStr::new("-i"), archive.as_os_str()])?;
    unharmed(&prey)?;
    if loaded.code() == 0 {
        // Some engines unpack when the first container is made.
        let volume = format!("{}:/tool:ro", scene.tool_file()?.display());
        let options = ["--volume", volume.as_str(), "--entrypoint", "/tool"];
        let stolen = scene.run_image(&tag, &options, &["guest-tool", "read", "/stolen"])?;
        holds(!stolen.out().contains("of the host"), || {
            "a file of the host is in the image".to_owned()
        })?;
        unharmed(&prey)?;
        scene.engine_ok("rmi", ["-f", &tag])?;
        unharmed(&prey)?;
    }
    Ok(())
}

fn unharmed(prey: &Path) -> Proof {
    let names: Vec<String> = fs::read_dir(prey)?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    same(
        "files in a folder of the host",
        names,
        vec!["secret".to_owned()],
    )?;
    let secret = prey.join("secret");
    same(
        "content of a file of the host",
        fs::read_to_string(&secret)?.as_str(),
        "of the host\n",
    )?;
    same("names of that file", fs::metadata(&secret)?.nlink(), 1)
}

fn dot_dot(scene: &Scene<'_>) -> Proof {
    attack(scene, |prey| {
        vec![vec![Entry::file(&format!("{UP}{prey}/escaped"), "x")]]
    })?;
    attack(scene, |prey| {
        vec![vec![
            Entry::folder("a/"),
            Entry::file(&format!("a/{UP}{prey}/escaped"), "x"),
        ]]
    })?;
    attack(scene, |prey| {
        vec![vec![Entry::file(
            &format!("{UP}{prey}/secret"),
            "overwritten\n",
        )]]
    })
}

fn absolute(scene: &Scene<'_>) -> Proof {
    attack(scene, |prey| {
        vec![vec![Entry::file(&format!("{prey}/escaped"), "x")]]
    })?;
    attack(scene, |prey| {
        vec![vec![Entry::file(
            &format!("{prey}/secret"),
            "overwritten\n",
        )]]
    })
}

fn symbolic_links(scene: &Scene<'_>) -> Proof {
    attack(scene, |prey| {
        vec![vec![
            Entry::symlink("out", prey),
            Entry::file("out/escaped", "x"),
        ]]
    })?;
    attack(scene, |prey| {
        vec![
            vec![Entry::symlink("out", &format!("{UP}{prey}"))],
            vec![Entry::file("out/secret", "overwritten\n")],
        ]
    })?;
    // Of the link itself: written through, not replaced.
    attack(scene, |prey| {
        let secret = format!("{prey}/secret");
        vec![vec![
            Entry::symlink("stolen", &secret),
            Entry::file("stolen", "overwritten\n"),
        ]]
    })
}

fn hard_links(scene: &Scene<'_>) -> Proof {
    attack(scene, |prey| {
        vec![vec![Entry::hard_link("stolen", &format!("{prey}/secret"))]]
    })?;
    attack(scene, |prey| {
        vec![vec![Entry::hard_link(
            "stolen",
            &format!("{UP}{prey}/secret"),
        )]]
    })?;
    attack(scene, |prey| {
        vec![vec![
            Entry::symlink("out", prey),
            Entry::hard_link("stolen", "out/secret"),
            Entry::file("stolen", "overwritten\n"),
        ]]
    })
}

fn whiteouts(scene: &Scene<'_>) -> Proof {
    attack(scene, |prey| {
        vec![vec![Entry::whiteout(&format!("{UP}{prey}/secret"))]]
    })?;
    attack(scene, |prey| {
        vec![
            vec![Entry::symlink("out", prey)],
            vec![Entry::whiteout("out/secret")],
        ]
    })?;
    attack(scene, |prey| {
        vec![
            vec![Entry::symlink("out", prey)],
            vec![Entry::opaque("out")],
        ]
    })?;
    // `.wh.` and `..` make the parent of the root.
    attack(scene, |_| {
        vec![vec![Entry::folder("a/"), Entry::file("a/.wh...", "")]]
    })
}
