//! Images out of the store: the very layers that came in, whichever driver keeps them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure is a failed test"
)]

mod scene;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;

use keel::image::digest::Digest;
use keel::image::save::{SaveError, save};
use keel::image::store::Store;
use keel::storage::DriverName;
use scene::sample::{Sample, assert_usual, gzip, loaded, pack, told, zstd};
use scene::{Scene, entry, file, folder, hard_link, link, tar};
use serde_json::{Value, json};

const DRIVERS: [DriverName; 3] = [DriverName::Overlay, DriverName::Btrfs, DriverName::Vfs];

fn saved(store: &Store, images: &[&str]) -> Vec<u8> {
    let images: Vec<String> = images.iter().map(ToString::to_string).collect();
    let mut out = Vec::new();
    match save(store, &images, &mut out) {
        Ok(()) => out,
        Err(error) => panic!("not saved: {}", told(&error)),
    }
}

fn refused(store: &Store, images: &[&str]) -> SaveError {
    let images: Vec<String> = images.iter().map(ToString::to_string).collect();
    save(store, &images, std::io::sink()).unwrap_err()
}

/// The plain files of an archive.
fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.header().entry_type().is_file() {
            let mut data = Vec::new();
            entry.read_to_end(&mut data).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), data);
        }
    }
    files
}

/// Two layers with all that tars hold, and what is awkward to give back.
fn awkward() -> Sample {
    Sample::new(vec![
        tar(&[
            folder("./"),
            folder("bin"),
            file("bin/tool", "x".repeat(100_000)).pax("SCHILY.xattr.user.note", "kept"),
            hard_link("bin/again", "bin/tool"),
            file("bin/twice", "first"),
            file("bin/twice", "second"),
            file("a/folder/without/an/entry", "1"),
            file("long/".to_owned() + &"n".repeat(150), "2").pax("mtime", "1234567890.5"),
            link("lib", "usr/lib"),
            file("old/tree/file", "3"),
            file("old", "a file in place of a folder"),
            entry(b'3', "device"),
            entry(b'6', "fifo"),
        ]),
        [
            tar(&[
                folder("usr/lib"),
                file("lib/so", "through a link of the layer below"),
                file("bin/.wh.tool", ""),
                file("bin/again", "replaced"),
                file("usr/.wh..wh..opq", ""),
            ]),
            b"more than a tar has".to_vec(),
        ]
        .concat(),
    ])
}

#[test]
fn a_saved_image_has_the_layers_that_came_in_on_every_driver() {
    let sample = awkward();
    let mut archives = Vec::new();
    for (driver, pack_layer) in DRIVERS.into_iter().zip([gzip, zstd, <[u8]>::to_vec]) {
        let scene = Scene::new(driver);
        let store = scene.store();
        let name = json!({"io.containerd.image.name": "localhost:5000/a/sample:1"});
        loaded(&store, pack(&sample.oci(pack_layer, &name)));
        let archive = saved(&store, &["localhost:5000/a/sample:1"]);
        let files = files(&archive);
        for layer in &sample.layers {
            let path = format!("blobs/sha256/{}", Digest::of(layer).hex());
            assert!(files[&path] == *layer, "{driver}");
        }
        archives.push(archive);
    }
    // However they came and wherever they are kept: the same bytes.
    assert!(archives.iter().all(|archive| *archive == archives[0]));
}

#[test]
fn a_saved_image_loads_into_another_root_with_another_driver() {
    let (here, there) = (Scene::new(DriverName::Overlay), Scene::new(DriverName::Vfs));
    loaded(&here.store(), pack(&Sample::usual_oci()));
    let archive = saved(&here.store(), &["sample:1"]);
    let images = loaded(&there.store(), archive.clone());
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].id, Sample::usual().id());
    assert_eq!(images[0].names[0].familiar(), "sample:1");
    assert_usual(&there.store());
    assert!(saved(&there.store(), &["sample:1"]) == archive);
}

#[test]
fn the_archive_is_an_oci_layout_and_a_docker_archive() {
    let scene = Scene::new(DriverName::Vfs);
    let store = scene.store();
    loaded(&store, pack(&Sample::usual_oci()));
    let archive = saved(&store, &["sample:1"]);
    let files = files(&archive);
    let json = |path: &str| serde_json::from_slice::<Value>(&files[path]).unwrap();
    insta::assert_json_snapshot!("index", json("index.json"));
    insta::assert_json_snapshot!("manifest", json("manifest.json"));
    let manifest = json("index.json")["manifests"][0]["digest"].clone();
    let manifest = manifest
        .as_str()
        .unwrap()
        .replace("sha256:", "blobs/sha256/");
    insta::assert_json_snapshot!("oci_manifest", json(&manifest));

    // Each half is an archive by itself.
    for half in ["index.json", "manifest.json"] {
        let mut files = files.clone();
        files.remove(half).unwrap();
        if half == "index.json" {
            files.remove("oci-layout").unwrap();
        }
        let other = Scene::new(DriverName::Vfs);
        let images = loaded(&other.store(), pack(&files));
        assert_eq!(images[0].id, Sample::usual().id());
        assert_eq!(images[0].names[0].familiar(), "sample:1");
    }
}

#[test]
fn a_repository_stands_for_its_tags_and_an_id_gives_no_name() {
    let scene = Scene::new(DriverName::Vfs);
    let store = scene.store();
    loaded(&store, pack(&Sample::usual_oci()));
    let id = Sample::usual().id();
    for name in ["sample:2", "other:1"] {
        store.tag(&name.parse().unwrap(), &id).unwrap();
    }
    let names = |images: &[&str]| {
        let files = files(&saved(&store, images));
        let items: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(items.as_array().unwrap().len(), 1);
        items[0]["RepoTags"].clone()
    };
    assert_eq!(names(&["sample"]), json!(["sample:1", "sample:2"]));
    assert_eq!(names(&[&id.to_string()]), json!([]));
    assert_eq!(
        names(&["other:1", &id.hex(), "sample:1"]),
        json!(["other:1", "sample:1"])
    );
    let missing = refused(&store, &["sample:3"]);
    assert!(
        missing.to_string().contains("no image is called"),
        "{missing}"
    );
}

#[test]
fn an_image_of_before_there_were_records_is_told_how_to_be_had_again() {
    let scene = Scene::new(DriverName::Overlay);
    let store = scene.store();
    loaded(&store, pack(&Sample::usual_oci()));
    let layers = scene.root.join("storage/overlay/layers");
    for layer in fs::read_dir(layers).unwrap() {
        fs::remove_file(layer.unwrap().path().join("tar-record")).unwrap();
    }
    let error = told(&refused(&store, &["sample:1"]));
    assert!(error.contains("load or pull them again"), "{error}");
}

#[test]
fn a_layer_whose_files_were_changed_is_not_saved() {
    let scene = Scene::new(DriverName::Overlay);
    let store = scene.store();
    loaded(&store, pack(&Sample::usual_oci()));
    let layers = scene.root.join("storage/overlay/layers");
    let tool = fs::read_dir(layers)
        .unwrap()
        .map(|layer| layer.unwrap().path().join("fs/bin/tool"))
        .find(|tool| tool.exists())
        .unwrap();
    fs::write(tool, "evil").unwrap();
    let error = told(&refused(&store, &["sample:1"]));
    assert!(error.contains("they were changed"), "{error}");
}
