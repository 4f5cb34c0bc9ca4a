//! Images: every archive format in, verified, by name and id, and out again.
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
use std::io::{Cursor, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use keel::image::digest::{DiffId, Digest, ImageId};
use keel::image::load::{Input, LoadError, Loaded, import, load};
use keel::image::store::{Force, Removed, Store, StoreError};
use keel::storage::{DriverName, Keep, TreeName};
use scene::{Entry, Scene, entry, file, folder, hard_link, link, tar};
use serde_json::{Value, json};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

type Pack = fn(&[u8]) -> Vec<u8>;

/// An image to be packed.
struct Sample {
    layers: Vec<Vec<u8>>,
    config: Vec<u8>,
}

impl Sample {
    fn new(layers: Vec<Vec<u8>>) -> Self {
        let diff_ids: Vec<DiffId> = layers
            .iter()
            .map(|tar| DiffId::new(Digest::of(tar)))
            .collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "created": "2024-01-02T03:04:05Z",
            "config": {"Cmd": ["/bin/tool"], "Env": ["A=b"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        Self {
            layers,
            config: config.to_string().into_bytes(),
        }
    }

    /// Two layers, of which the second removes, hides, replaces and links.
    fn usual() -> Self {
        Self::new(vec![
            tar(&[
                folder("bin"),
                file("bin/tool", "tool"),
                folder("etc"),
                file("etc/gone", "x"),
                file("etc/kept", "x"),
                folder("var"),
                file("var/hidden", "x"),
                folder("var/sub"),
                file("var/sub/hidden", "x"),
                link("lib", "usr/lib"),
                folder("usr"),
                folder("usr/lib"),
            ]),
            tar(&[
                // The whiteout comes after what it must not hide.
                file("var/new", "new"),
                folder("var/sub"),
                file("var/sub/new", "new"),
                file("var/.wh..wh..opq", ""),
                file("etc/.wh.gone", ""),
                file("etc/.wh.kept", ""),
                file("etc/kept", "of the second layer"),
                file("never/.wh.there", ""),
                hard_link("bin/again", "bin/tool"),
                file("lib/so", "through a link of the layer below"),
            ]),
        ])
    }

    fn id(&self) -> ImageId {
        ImageId::new(Digest::of(&self.config))
    }

    /// Files of an OCI layout, with layers packed by `pack`.
    fn oci(
        &self,
        pack: impl Fn(&[u8]) -> Vec<u8>,
        annotations: &Value,
    ) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut blob = |bytes: Vec<u8>, kind: &str| {
            let digest = Digest::of(&bytes);
            let descriptor = json!({"mediaType": kind, "digest": digest, "size": bytes.len()});
            files.insert(format!("blobs/sha256/{}", digest.hex()), bytes);
            descriptor
        };
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|tar| blob(pack(tar), "application/vnd.oci.image.layer.v1.tar+gzip"))
            .collect();
        let config = blob(
            self.config.clone(),
            "application/vnd.oci.image.config.v1+json",
        );
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let mut manifest = blob(
            manifest.to_string().into_bytes(),
            "application/vnd.oci.image.manifest.v1+json",
        );
        manifest["annotations"] = annotations.clone();
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        files.insert("index.json".to_owned(), index.to_string().into_bytes());
        files.insert(
            "oci-layout".to_owned(),
            br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
        );
        files
    }

    fn usual_oci() -> BTreeMap<String, Vec<u8>> {
        let name = json!({"io.containerd.image.name": "docker.io/library/sample:1"});
        Self::usual().oci(gzip, &name)
    }
}

fn pack(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let entries: Vec<Entry> = files.iter().map(|(name, data)| file(name, data)).collect();
    tar(&entries)
}

fn stream(bytes: Vec<u8>) -> Input {
    Input::Stream(Box::new(Cursor::new(bytes)))
}

fn loaded(store: &Store, bytes: Vec<u8>) -> Vec<Loaded> {
    match load(store, stream(bytes), None) {
        Ok(loaded) => loaded,
        Err(error) => panic!("refused: {}", told(&error)),
    }
}

fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = text + ": " + &error.to_string();
        source = error.source();
    }
    text
}

fn rootfs(store: &Store, id: &ImageId) -> PathBuf {
    let image = store.image(id).unwrap();
    let name = TreeName::new("test").unwrap();
    store.storage().driver().create(&name, image.top()).unwrap();
    store.storage().driver().mount(&name, Keep::Yes).unwrap()
}

fn assert_usual(store: &Store) {
    let sample = Sample::usual();
    let root = rootfs(store, &sample.id());
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    assert_eq!(text("etc/kept"), "of the second layer");
    assert!(!root.join("etc/gone").exists());
    assert_eq!(text("var/new"), "new");
    assert_eq!(text("var/sub/new"), "new");
    assert!(!root.join("var/hidden").exists());
    assert!(!root.join("var/sub/hidden").exists());
    assert_eq!(text("usr/lib/so"), "through a link of the layer below");
    assert_eq!(text("bin/again"), "tool");
    assert_eq!(fs::metadata(root.join("bin/again")).unwrap().nlink(), 2);
    assert_eq!(
        fs::metadata(root.join("etc/kept")).unwrap().mtime(),
        1_000_000_000
    );
    assert_eq!(
        fs::metadata(root.join("usr")).unwrap().mtime(),
        1_000_000_000
    );
    let names: Vec<_> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        names
            .iter()
            .all(|name| !name.to_string_lossy().starts_with(".wh.")),
        "{names:?}"
    );
    store
        .storage()
        .driver()
        .unmount(&TreeName::new("test").unwrap())
        .unwrap();
}

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
