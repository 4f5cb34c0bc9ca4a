//! Archives of images: every format in, and verified.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure is a failed test"
)]

mod scene;

use std::fs;
use std::path::Path;

use keel::image::digest::Digest;
use keel::image::load::{Input, LoadError, import, load};
use keel::storage::DriverName;
use scene::sample::{Pack, Sample, assert_usual, gzip, loaded, pack, rootfs, stream, told, zstd};
use scene::{Entry, Scene, entry, file, folder, link, tar};
use serde_json::{Value, json};

fn a_layout_loads_on(driver: DriverName) {
    let scene = Scene::new(driver);
    let store = scene.store();
    let loaded = loaded(&store, pack(&Sample::usual_oci()));
    assert_eq!(loaded[0].id, Sample::usual().id());
    assert_eq!(loaded[0].names[0].familiar(), "sample:1");
    assert_usual(&store);
}

#[test]
fn whiteouts_and_links_hold_on_overlay() {
    a_layout_loads_on(DriverName::Overlay);
}

#[test]
fn whiteouts_and_links_hold_on_btrfs() {
    a_layout_loads_on(DriverName::Btrfs);
}

#[test]
fn whiteouts_and_links_hold_on_vfs() {
    a_layout_loads_on(DriverName::Vfs);
}

#[test]
fn every_compression_of_layers_and_of_the_whole_gives_the_same_image() {
    let packs: [Pack; 3] = [gzip, zstd, <[u8]>::to_vec];
    for layer in packs {
        for whole in packs {
            let scene = Scene::new(DriverName::Vfs);
            let store = scene.store();
            let archive = whole(&pack(&Sample::usual().oci(layer, &Value::Null)));
            assert_eq!(loaded(&store, archive)[0].id, Sample::usual().id());
        }
    }
}

#[test]
fn a_layout_in_a_folder_or_a_file_loads_too() {
    let scene = Scene::new(DriverName::Vfs);
    let store = scene.store();
    let layout = scene.beside("layout");
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    for (name, data) in Sample::usual_oci() {
        fs::write(layout.join(name), data).unwrap();
    }
    let from_folder = load(&store, Input::Path(layout), None).unwrap();
    let archive = scene.beside("archive.tar");
    fs::write(&archive, pack(&Sample::usual_oci())).unwrap();
    let from_file = load(&store, Input::Path(archive), None).unwrap();
    assert_eq!(from_folder, from_file);
    assert_usual(&store);
}

/// What `docker save` wrote from 1.10 to 24: a second folder of a layer links to the first.
fn docker_archive(sample: &Sample) -> Vec<Entry> {
    let config = format!("{}.json", sample.id().hex());
    let manifest = json!([{
        "Config": config, "RepoTags": ["sample:1", "other/name:2"],
        "Layers": ["one/layer.tar", "two/layer.tar"],
    }]);
    vec![
        file("one/layer.tar", &sample.layers[0]),
        folder("real"),
        file("real/layer.tar", &sample.layers[1]),
        link("two/layer.tar", "../real/layer.tar"),
        file(config, &sample.config),
        // It comes last.
        file("manifest.json", manifest.to_string()),
    ]
}

#[test]
fn what_docker_save_writes_loads_with_all_its_names() {
    let scene = Scene::new(DriverName::Overlay);
    let store = scene.store();
    let image = loaded(&store, tar(&docker_archive(&Sample::usual()))).remove(0);
    let names: Vec<String> = image
        .names
        .iter()
        .map(keel::image::reference::Reference::familiar)
        .collect();
    assert_eq!(names, ["sample:1", "other/name:2"]);
    assert_eq!(image.id, Sample::usual().id());
    assert_usual(&store);
}

#[test]
fn what_docker_25_writes_is_a_layout_whose_names_stand_in_the_manifest() {
    let scene = Scene::new(DriverName::Vfs);
    let store = scene.store();
    let sample = Sample::usual();
    let mut files = sample.oci(
        <[u8]>::to_vec,
        &json!({"org.opencontainers.image.ref.name": "1"}),
    );
    let config = format!("blobs/sha256/{}", sample.id().hex());
    let layers: Vec<String> = sample
        .layers
        .iter()
        .map(|tar| format!("blobs/sha256/{}", Digest::of(tar).hex()))
        .collect();
    let manifest = json!([{"Config": config, "RepoTags": ["sample:1"], "Layers": layers}]);
    files.insert(
        "manifest.json".to_owned(),
        manifest.to_string().into_bytes(),
    );
    let image = loaded(&store, pack(&files)).remove(0);
    assert_eq!(image.names.len(), 1);
    assert_eq!(image.names[0].familiar(), "sample:1");
}

#[test]
fn what_docker_wrote_before_1_10_loads() {
    let scene = Scene::new(DriverName::Overlay);
    let store = scene.store();
    let sample = Sample::usual();
    let (one, two) = ("1".repeat(64), "2".repeat(64));
    let top = json!({"id": two, "parent": one, "os": "linux", "architecture": "amd64", "config": {"Cmd": ["sh"]}});
    let image = loaded(
        &store,
        tar(&[
            file(format!("{one}/json"), json!({"id": one}).to_string()),
            file(format!("{one}/layer.tar"), &sample.layers[0]),
            file(format!("{two}/json"), top.to_string()),
            file(format!("{two}/layer.tar"), &sample.layers[1]),
            file("repositories", json!({"old": {"latest": two}}).to_string()),
        ]),
    )
    .remove(0);
    let image = store.image(&image.id).unwrap();
    assert_eq!(image.config.config.cmd, ["sh"]);
    assert_eq!(image.layers.len(), 2);
    let root = rootfs(&store, &store.resolve("old").unwrap().id);
    assert_eq!(
        fs::read_to_string(root.join("etc/kept")).unwrap(),
        "of the second layer"
    );
}

#[track_caller]
fn assert_refused(bytes: Vec<u8>, reason: &str) {
    let scene = Scene::new(DriverName::Overlay);
    let error = load(&scene.store(), stream(bytes), None).expect_err("it was accepted");
    assert!(
        told(&error).contains(reason),
        "refused for another reason: {}",
        told(&error)
    );
    scene.assert_nothing_stored();
}

#[test]
fn a_layer_with_another_digest_is_refused_and_nothing_stays() {
    let mut files = Sample::usual_oci();
    let last = gzip(&Sample::usual().layers[1]);
    let name = format!("blobs/sha256/{}", Digest::of(&last).hex());
    // The same files, compressed otherwise: only the digest of the blob tells.
    files.insert(name, zstd(&Sample::usual().layers[1]));
    assert_refused(pack(&files), "as its manifest says");
}

#[test]
fn a_layer_with_another_diff_id_is_refused_and_nothing_stays() {
    let mut sample = Sample::usual();
    sample.layers[1] = tar(&[file("evil", "x")]);
    assert_refused(
        pack(&sample.oci(gzip, &Value::Null)),
        "as the image's configuration says",
    );
    let archive = docker_archive(&sample);
    assert_refused(tar(&archive), "as the image's configuration says");
}

#[test]
fn a_manifest_or_configuration_with_another_digest_is_refused() {
    let mut files = Sample::usual_oci();
    let config = format!("blobs/sha256/{}", Sample::usual().id().hex());
    files.insert(config, b"{\"rootfs\":{\"type\":\"layers\"}}".to_vec());
    assert_refused(pack(&files), "has digest");
    let mut archive = docker_archive(&Sample::usual());
    archive[4].data.push(b' ');
    assert_refused(tar(&archive), "has digest");
}

#[test]
fn a_missing_layer_is_named_and_nothing_stays() {
    let mut files = Sample::usual_oci();
    let name = format!(
        "blobs/sha256/{}",
        Digest::of(&gzip(&Sample::usual().layers[1])).hex()
    );
    files.remove(&name);
    assert_refused(pack(&files), &format!("has no `{name}`"));
}

#[test]
fn the_image_for_this_machine_is_taken() {
    let scene = Scene::new(DriverName::Vfs);
    let store = scene.store();
    let mut files = Sample::usual_oci();
    let mut index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
    let here = keel::image::manifest::Platform::here();
    index["manifests"][0]["platform"] = json!({"os": here.os, "architecture": here.architecture});
    let mut other = index["manifests"][0].clone();
    // Its blob is not in the archive, as in one that was saved for one platform.
    other["digest"] = json!(Digest::of(b"other"));
    other["platform"] = json!({"os": "linux", "architecture": "s390x"});
    index["manifests"].as_array_mut().unwrap().insert(0, other);
    files.insert("index.json".to_owned(), index.to_string().into_bytes());
    assert_eq!(loaded(&store, pack(&files)).len(), 1);

    index["manifests"].as_array_mut().unwrap().pop();
    files.insert("index.json".to_owned(), index.to_string().into_bytes());
    assert_refused(pack(&files), "only for linux/s390x");
}

#[test]
fn an_import_becomes_an_image_of_one_layer() {
    let scene = Scene::new(DriverName::Overlay);
    let store = scene.store();
    let bytes = tar(&[folder("./"), folder("./etc"), file("./etc/x", "data")]);
    for packed in [bytes.clone(), gzip(&bytes), zstd(&bytes)] {
        let name = "small".parse().unwrap();
        let image = import(&store, stream(packed), Some(&name)).unwrap();
        let image = store.image(&image.id).unwrap();
        assert_eq!(image.layers.len(), 1);
        assert_eq!(image.layers[0].diff_id.digest(), &Digest::of(&bytes));
        assert_eq!(image.bytes(), 4);
    }
    let root = rootfs(&store, &store.resolve("small").unwrap().id);
    assert_eq!(fs::read_to_string(root.join("etc/x")).unwrap(), "data");
}

#[test]
fn a_name_is_given_to_the_only_image_of_an_archive() {
    let scene = Scene::new(DriverName::Vfs);
    let store = scene.store();
    let name = "mine:1".parse().unwrap();
    let archive = pack(&Sample::usual().oci(gzip, &Value::Null));
    load(&store, stream(archive), Some(&name)).unwrap();
    assert!(store.resolve("mine:1").is_ok());

    let mut files = Sample::usual_oci();
    let other = Sample::new(vec![tar(&[entry(b'6', "fifo")])]).oci(gzip, &Value::Null);
    let mut index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
    let second: Value = serde_json::from_slice(&other["index.json"]).unwrap();
    index["manifests"]
        .as_array_mut()
        .unwrap()
        .push(second["manifests"][0].clone());
    files.extend(other);
    files.insert("index.json".to_owned(), index.to_string().into_bytes());
    let error = load(&store, stream(pack(&files)), Some(&name)).unwrap_err();
    assert!(matches!(error, LoadError::NameForMany(2)), "{error}");
    assert_eq!(loaded(&store, pack(&files)).len(), 2);
    assert!(Path::new(&scene.root).exists());
}
