//! A sample image, and archives of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use flate2::write::GzEncoder;
use keel::image::digest::{DiffId, Digest, ImageId};
use keel::image::load::{Input, Loaded, load};
use keel::image::store::Store;
use keel::storage::{Keep, TreeName};
use serde_json::{Value, json};

use super::{Entry, file, folder, hard_link, link, tar};

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

pub type Pack = fn(&[u8]) -> Vec<u8>;

/// An image to be packed.
pub struct Sample {
    pub layers: Vec<Vec<u8>>,
    pub config: Vec<u8>,
}

impl Sample {
    pub fn new(layers: Vec<Vec<u8>>) -> Self {
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
    pub fn usual() -> Self {
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

    pub fn id(&self) -> ImageId {
        ImageId::new(Digest::of(&self.config))
    }

    /// Files of an OCI layout, with layers packed by `pack`.
    pub fn oci(
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

    pub fn usual_oci() -> BTreeMap<String, Vec<u8>> {
        let name = json!({"io.containerd.image.name": "docker.io/library/sample:1"});
        Self::usual().oci(gzip, &name)
    }
}

pub fn pack(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let entries: Vec<Entry> = files.iter().map(|(name, data)| file(name, data)).collect();
    tar(&entries)
}

pub fn stream(bytes: Vec<u8>) -> Input {
    Input::Stream(Box::new(Cursor::new(bytes)))
}

pub fn loaded(store: &Store, bytes: Vec<u8>) -> Vec<Loaded> {
    match load(store, stream(bytes), None) {
        Ok(loaded) => loaded,
        Err(error) => panic!("refused: {}", told(&error)),
    }
}

/// The whole chain of an error as a person sees it.
pub fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = text + ": " + &error.to_string();
        source = error.source();
    }
    text
}

pub fn rootfs(store: &Store, id: &ImageId) -> PathBuf {
    let image = store.image(id).unwrap();
    let name = TreeName::new("test").unwrap();
    store.storage().driver().create(&name, image.top()).unwrap();
    store.storage().driver().mount(&name, Keep::Yes).unwrap()
}

pub fn assert_usual(store: &Store) {
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
