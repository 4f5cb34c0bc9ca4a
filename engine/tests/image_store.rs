//! The image store: names and ids, removal, and what lies on the disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure is a failed test"
)]

mod scene;

use std::fs;

use keel::image::digest::{Digest, ImageId};
use keel::image::store::{Force, Removed, StoreError};
use keel::storage::{DriverName, TreeName};
use scene::sample::{Sample, assert_usual, gzip, loaded, pack, rootfs};
use scene::{Scene, file, tar};
use serde_json::{Value, json};

#[test]
fn an_image_is_found_by_name_id_and_the_start_of_its_id() {
    let scene = Scene::new(DriverName::Vfs);
    let store = scene.store();
    loaded(&store, pack(&Sample::usual_oci()));
    let id = Sample::usual().id();
    for text in [
        "sample:1",
        "docker.io/library/sample:1",
        &id.to_string(),
        &id.hex(),
        &id.hex()[..6],
    ] {
        assert_eq!(store.resolve(text).unwrap().id, id, "{text}");
    }
    for text in ["sample", "../sample:1", "", "sha256:", "zz", &id.hex()[1..]] {
        let error = store.resolve(text).unwrap_err();
        assert!(matches!(error, StoreError::NotFound(_)), "{text}: {error}");
    }
}

#[test]
fn layers_that_another_image_needs_stay_when_one_is_removed() {
    let scene = Scene::new(DriverName::Overlay);
    let store = scene.store();
    loaded(&store, pack(&Sample::usual_oci()));
    let base = Sample::new(vec![Sample::usual().layers[0].clone()]);
    loaded(
        &store,
        pack(&base.oci(gzip, &json!({"io.containerd.image.name": "base:1"}))),
    );
    let nobody = |_: &ImageId| Ok(Vec::new());

    let removed = store.remove("sample:1", Force::No, &nobody).unwrap();

    let layers = removed
        .iter()
        .filter(|removed| matches!(removed, Removed::Layer(_)));
    assert_eq!(layers.count(), 1);
    assert!(rootfs(&store, &base.id()).join("etc/gone").exists());
    store
        .storage()
        .driver()
        .remove(keel::storage::Tree::Container(
            &TreeName::new("test").unwrap(),
        ))
        .unwrap();
    store.remove("base:1", Force::No, &nobody).unwrap();
    scene.assert_nothing_stored();
}

#[test]
fn an_image_in_use_is_not_removed_and_its_users_are_named() {
    let scene = Scene::new(DriverName::Vfs);
    let store = scene.store();
    loaded(&store, pack(&Sample::usual_oci()));
    let id = Sample::usual().id();
    let web = |_: &ImageId| Ok(vec!["web".to_owned()]);

    let error = store.remove("sample:1", Force::No, &web).unwrap_err();
    assert!(error.to_string().contains("is used by web"), "{error}");
    let removed = store.remove("sample:1", Force::Yes, &web).unwrap();
    assert_eq!(removed.len(), 1);
    assert!(store.image(&id).is_ok());
    assert!(store.names().unwrap().is_empty());
}

#[test]
fn an_id_with_several_names_is_removed_only_by_force() {
    let scene = Scene::new(DriverName::Vfs);
    let store = scene.store();
    loaded(&store, pack(&Sample::usual_oci()));
    let id = Sample::usual().id();
    store.tag(&"second:2".parse().unwrap(), &id).unwrap();
    let nobody = |_: &ImageId| Ok(Vec::new());

    let error = store.remove(&id.hex(), Force::No, &nobody).unwrap_err();
    assert!(error.to_string().contains("sample:1, second:2"), "{error}");
    // One of two names is only a name.
    assert_eq!(
        store.remove("second:2", Force::No, &nobody).unwrap().len(),
        1
    );
    store.remove(&id.hex(), Force::No, &nobody).unwrap();
    scene.assert_nothing_stored();
}

#[test]
fn a_name_moves_to_the_image_that_was_loaded_last() {
    let scene = Scene::new(DriverName::Vfs);
    let store = scene.store();
    loaded(&store, pack(&Sample::usual_oci()));
    let other = Sample::new(vec![tar(&[file("x", "y")])]);
    let name = json!({"io.containerd.image.name": "docker.io/library/sample:1"});
    loaded(&store, pack(&other.oci(gzip, &name)));
    assert_eq!(store.resolve("sample:1").unwrap().id, other.id());
    assert_eq!(store.ids().unwrap().len(), 2);
}

#[test]
fn a_configuration_that_was_changed_on_the_disk_is_noticed() {
    let scene = Scene::new(DriverName::Vfs);
    let store = scene.store();
    loaded(&store, pack(&Sample::usual_oci()));
    let id = Sample::usual().id();
    let path = scene
        .root
        .join(format!("images/ids/{}/config.json", id.hex()));
    let changed = fs::read_to_string(&path)
        .unwrap()
        .replace("/bin/tool", "/bin/evil");
    fs::write(&path, changed).unwrap();
    let error = store.resolve("sample:1").unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
    store
        .remove("sample:1", Force::Yes, &|_| Ok(Vec::new()))
        .unwrap();
    store.prune().unwrap();
    scene.assert_nothing_stored();
}

#[test]
fn two_loads_at_the_same_time_do_not_disturb_each_other() {
    let scene = Scene::new(DriverName::Overlay);
    let archive = pack(&Sample::usual_oci());
    let store = scene.store();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| loaded(&store, archive.clone()));
        }
    });
    assert_usual(&store);
    assert_eq!(store.ids().unwrap().len(), 1);
    let staging = scene.root.join("storage/overlay/staging");
    assert_eq!(fs::read_dir(staging).unwrap().count(), 0);
}

#[test]
fn what_a_person_reads_on_the_disk_is_what_the_store_says() {
    let scene = Scene::new(DriverName::Vfs);
    loaded(&scene.store(), pack(&Sample::usual_oci()));
    let link = scene.root.join("images/names/docker.io/library/sample:1");
    let folder = fs::canonicalize(&link).unwrap();
    assert_eq!(
        folder.file_name().unwrap().to_str().unwrap(),
        Sample::usual().id().hex()
    );
    let config = fs::read(folder.join("config.json")).unwrap();
    assert_eq!(config, Sample::usual().config);
    let record: Value =
        serde_json::from_slice(&fs::read(folder.join("image.json")).unwrap()).unwrap();
    assert_eq!(record["schema"], "keel.image/1");
    let chain = record["layers"][1]["chain_id"]
        .as_str()
        .unwrap()
        .strip_prefix("sha256:")
        .unwrap();
    let files = scene.root.join("storage/vfs/layers").join(chain).join("fs");
    assert!(files.join("bin/tool").exists());
}

#[test]
fn a_store_written_by_this_format_is_read_by_later_versions() {
    // As written by the first version: this test must go on passing with these very bytes.
    let scene = Scene::new(DriverName::Vfs);
    drop(scene.store());
    let config = br#"{"architecture":"amd64","os":"linux","config":{"Cmd":["sh"]},"rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}"#;
    let hex = Digest::of(config).hex();
    let folder = scene.root.join("images/ids").join(&hex);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.json"), config).unwrap();
    let layer = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let record = format!(
        r#"{{"schema":"keel.image/1","id":"sha256:{hex}","loaded":"2026-01-02T03:04:05Z",
        "layers":[{{"diff_id":"sha256:{layer}","chain_id":"sha256:{layer}","bytes":12}}]}}"#
    );
    fs::write(folder.join("image.json"), record).unwrap();
    let names = scene.root.join("images/names/docker.io/library");
    fs::create_dir_all(&names).unwrap();
    std::os::unix::fs::symlink(format!("../../../ids/{hex}"), names.join("old:1")).unwrap();
    let layers = scene.root.join("storage/vfs/layers").join(layer);
    fs::create_dir_all(layers.join("fs")).unwrap();
    let record = format!(
        r#"{{"schema":"keel.layer/1","chain_id":"sha256:{layer}","parent":null,"bytes":12}}"#
    );
    fs::write(layers.join("layer.json"), record).unwrap();

    let image = scene.store().resolve("old:1").unwrap();

    assert_eq!(image.config.config.cmd, ["sh"]);
    assert_eq!(image.bytes(), 12);
    assert!(rootfs(&scene.store(), &image.id).is_dir());
}
