//! Images, and the archives that carry them to an engine.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tar::Header;

use super::layer::{Layer, digest};

/// An image: a name, layers from the bottom up, and what its configuration says.
#[derive(Debug, Clone)]
pub(in crate::suite) struct Image {
    /// `repository:tag`.
    pub(in crate::suite) tag: String,
    /// From the bottom up.
    pub(in crate::suite) layers: Vec<Layer>,
    /// The `config` member (image-spec, config.md).
    pub(in crate::suite) config: Value,
    /// The diffIDs that the configuration claims, where it lies.
    pub(in crate::suite) claimed: Option<Vec<String>>,
}

/// The forms in which an engine takes images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::suite) enum Archive {
    /// What `docker save` wrote before version 25: `manifest.json` and folders of layers.
    Docker,
    /// An OCI image layout of version 1.0.0, layers as they are.
    Oci,
    /// The same, with layers compressed by gzip.
    OciGzip,
    /// The same, with one byte of the last layer's blob changed after its digest was taken.
    OciCorrupt,
}

impl Image {
    /// An image of these layers.
    pub(in crate::suite) fn new(tag: &str, layers: &[Layer]) -> Self {
        Self {
            tag: tag.to_owned(),
            layers: layers.to_vec(),
            config: json!({"Env": ["PATH=/bin"], "Cmd": ["pause"]}),
            claimed: None,
        }
    }

    /// The bytes of the configuration, whose digest is the image's id.
    fn config_bytes(&self) -> Vec<u8> {
        let diff_ids = self.claimed.clone().unwrap_or_else(|| {
            self.layers
                .iter()
                .map(|layer| layer.diff_id.clone())
                .collect()
        });
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            other => other,
        };
        json!({
            "created": "2020-09-13T12:26:40Z",
            "architecture": architecture,
            "os": "linux",
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": self.layers.iter().map(|_| json!({"created_by": "seaworthy"})).collect::<Vec<_>>(),
        })
        .to_string()
        .into_bytes()
    }

    /// The image's id: `sha256:` and the digest of its configuration.
    pub(in crate::suite) fn id(&self) -> String {
        digest(&self.config_bytes())
    }
}

impl Archive {
    /// Writes the images to the file `path`; the OCI forms carry any number of them too.
    pub(in crate::suite) fn write(self, images: &[Image], path: &Path) -> io::Result<()> {
        let mut tar = Tar(tar::Builder::new(io::BufWriter::new(File::create(path)?)));
        match self {
            Self::Docker => docker(images, &mut tar)?,
            Self::Oci | Self::OciGzip | Self::OciCorrupt => self.layout(images, &mut tar)?,
        }
        tar.0.into_inner()?.flush()
    }

    fn layout(self, images: &[Image], tar: &mut Tar<impl Write>) -> io::Result<()> {
        tar.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let mut written = BTreeSet::new();
        let mut blob = |tar: &mut Tar<_>, media: &str, bytes: &[u8], stored: &[u8]| {
            let digest = digest(bytes);
            if written.insert(digest.clone()) {
                tar.file(&format!("blobs/{}", digest.replace(':', "/")), stored)?;
            }
            Ok::<_, io::Error>(json!({"mediaType": media, "digest": digest, "size": bytes.len()}))
        };
        let mut manifests = Vec::new();
        for image in images {
            let config = image.config_bytes();
            let config = blob(
                tar,
                "application/vnd.oci.image.config.v1+json",
                &config,
                &config,
            )?;
            let mut layers = Vec::new();
            for (index, layer) in image.layers.iter().enumerate() {
                let (media, bytes) = match self {
                    Self::OciGzip => (
                        "application/vnd.oci.image.layer.v1.tar+gzip",
                        gzip(&layer.tar)?,
                    ),
                    Self::Docker | Self::Oci | Self::OciCorrupt => {
                        ("application/vnd.oci.image.layer.v1.tar", layer.tar.to_vec())
                    }
                };
                let mut stored = bytes.clone();
                if self == Self::OciCorrupt && index + 1 == image.layers.len() {
                    // Within the first entry's content, so that the tar itself stays sound.
                    if let Some(byte) = stored.get_mut(512) {
                        *byte ^= 1;
                    }
                }
                layers.push(blob(tar, media, &bytes, &stored)?);
            }
            let manifest = json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": config,
                "layers": layers,
            })
            .to_string()
            .into_bytes();
            let mut entry = blob(
                tar,
                "application/vnd.oci.image.manifest.v1+json",
                &manifest,
                &manifest,
            )?;
            if let Some(entry) = entry.as_object_mut() {
                // The second is where containerd, and Docker with it, looks first.
                let names = json!({
                    "org.opencontainers.image.ref.name": image.tag,
                    "io.containerd.image.name": image.tag,
                });
                entry.insert("annotations".to_owned(), names);
            }
            manifests.push(entry);
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": manifests,
        });
        tar.file("index.json", index.to_string().as_bytes())
    }
}

fn docker(images: &[Image], tar: &mut Tar<impl Write>) -> io::Result<()> {
    let mut written = BTreeSet::new();
    let mut manifest = Vec::new();
    for image in images {
        let config = image.config_bytes();
        let config_name = format!("{}.json", hex(&digest(&config)));
        if written.insert(config_name.clone()) {
            tar.file(&config_name, &config)?;
        }
        let mut names = Vec::new();
        for layer in &image.layers {
            let name = format!("{}/layer.tar", hex(&layer.diff_id));
            if written.insert(name.clone()) {
                tar.file(&name, &layer.tar)?;
            }
            names.push(name);
        }
        manifest.push(json!({"Config": config_name, "RepoTags": [image.tag], "Layers": names}));
    }
    tar.file(
        "manifest.json",
        Value::from(manifest).to_string().as_bytes(),
    )
}

fn hex(digest: &str) -> &str {
    digest.trim_start_matches("sha256:")
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// The outer tar file: files only, with nothing that changes from run to run.
struct Tar<W: Write>(tar::Builder<W>);

impl<W: Write> Tar<W> {
    fn file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        self.0.append_data(&mut header, path, bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::super::layer::Entry;
    use super::*;

    fn files(archive: Archive, images: &[Image]) -> BTreeMap<String, Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tar");
        archive.write(images, &path).unwrap();
        let mut tar = tar::Archive::new(File::open(path).unwrap());
        tar.entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                (entry.path().unwrap().display().to_string(), bytes)
            })
            .collect()
    }

    fn image() -> Image {
        Image::new(
            "localhost/a:1",
            &[Layer::new(&[Entry::file("a", "b")]).unwrap()],
        )
    }

    #[test]
    fn every_blob_of_a_layout_has_the_digest_that_names_it() {
        for archive in [Archive::Oci, Archive::OciGzip] {
            for (path, bytes) in files(archive, &[image()]) {
                if let Some(hex) = path.strip_prefix("blobs/sha256/") {
                    assert_eq!(digest(&bytes), format!("sha256:{hex}"));
                }
            }
        }
    }

    #[test]
    fn the_corrupt_layout_has_just_one_blob_that_has_not() {
        let wrong = files(Archive::OciCorrupt, &[image()])
            .iter()
            .filter(|(path, bytes)| {
                path.strip_prefix("blobs/sha256/")
                    .is_some_and(|hex| digest(bytes) != format!("sha256:{hex}"))
            })
            .count();
        assert_eq!(wrong, 1);
    }

    #[test]
    fn images_of_one_archive_share_their_layers() {
        let other = Image {
            tag: "localhost/b:1".into(),
            ..image()
        };
        let layers = files(Archive::Docker, &[image(), other])
            .keys()
            .filter(|path| path.ends_with("/layer.tar"))
            .count();
        assert_eq!(layers, 1);
    }
}
