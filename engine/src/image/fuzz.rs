//! Targets of fuzzing: images.
#![expect(
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a panic is how each of them tells of a broken promise, or of having no place to try"
)]

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::fuzz::text;
use crate::image::archive::{Files, plan};
use crate::image::config::ImageConfig;
use crate::image::decompress::decompress;
use crate::image::layer::{Expected, Lower, unpack};
use crate::image::limits::{MAX_IMAGES, MAX_LAYERS};
use crate::image::manifest::Document;
use crate::image::reference::Reference;
use crate::storage::Filling;

/// A layer is unpacked, or refused, and nothing beside its root is touched.
pub fn layer(data: &[u8]) {
    let scene = Scene::new().unwrap_or_else(|error| panic!("no place to unpack: {error}"));
    let root = File::open(scene.0.join("root"))
        .unwrap_or_else(|error| panic!("no root to unpack in: {error}"));
    let lower = match data.len() % 2 {
        0 => Lower::Absent,
        _ => Lower::Present,
    };
    let layer = Filling {
        root: root.as_fd(),
        folder: &scene.0.join("layer"),
    };
    let unpacked = unpack(&sealed(data)[..], layer, lower, Expected::default());
    drop(unpacked);
    scene.assert_untouched();
}

/// A folder to unpack in, beside a file that nobody may reach.
struct Scene(PathBuf);

const OUTSIDE: &str = "precious";

impl Scene {
    fn new() -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("keel-fuzz-{}-{number}", std::process::id());
        let scene = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(scene.0.join("root"))?;
        fs::create_dir(scene.0.join("layer"))?;
        fs::write(scene.0.join("outside"), OUTSIDE)?;
        Ok(scene)
    }

    fn assert_untouched(&self) {
        let beside = fs::read_dir(&self.0).map(Iterator::count);
        assert_eq!(beside.ok(), Some(3), "something was made outside");
        let outside = fs::read_to_string(self.0.join("outside"));
        assert_eq!(outside.ok().as_deref(), Some(OUTSIDE));
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Makes the checksums of tar headers fit: else no change of a header would be seen by what is
/// behind them.
fn sealed(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    for block in data.chunks_exact_mut(512) {
        let is_header = block.get(257..262) == Some(b"ustar");
        if let Some(place) = block.get_mut(148..156).filter(|_| is_header) {
            place.fill(b' ');
            let sum: u32 = block.iter().copied().map(u32::from).sum();
            if let Some(place) = block.get_mut(148..156) {
                place.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
    }
    data
}

/// An archive is planned within the limits, and what it refers to can be read, or it is refused.
pub fn archive(data: &[u8]) {
    let scene = Scene::new().unwrap_or_else(|error| panic!("no place for the archive: {error}"));
    let path = scene.0.join("archive");
    let file = fs::write(&path, sealed(data)).and_then(|()| File::open(&path));
    let file = file.unwrap_or_else(|error| panic!("no archive: {error}"));
    let Ok(files) = Files::of_tar(file, Path::new("-")) else {
        return;
    };
    let Ok(images) = plan(&files) else {
        return;
    };
    assert!(!images.is_empty() && images.len() <= MAX_IMAGES);
    for layer in images.iter().flat_map(|image| &image.layers) {
        if let Ok(blob) = files.blob(&layer.path) {
            assert!(blob.bytes <= data.len() as u64);
            let read = io::copy(&mut blob.reader.take(1 << 16), &mut io::sink());
            assert_eq!(read.ok(), Some(blob.bytes.min(1 << 16)), "it is cut off");
        }
    }
}

/// Manifests and indexes are read or refused.
pub fn manifest(data: &[u8]) {
    drop(Document::parse(data));
}

/// A configuration is within its limits and reads the same when it is written, or is refused.
pub fn config(data: &[u8]) {
    let Ok(config) = ImageConfig::parse(data) else {
        return;
    };
    assert!(config.rootfs.diff_ids.len() <= MAX_LAYERS);
    let again = serde_json::to_vec(&config).map(|bytes| ImageConfig::parse(&bytes));
    assert_eq!(again.ok().and_then(Result::ok), Some(config));
}

/// A name that is taken is the same when it is written and read again, in full and in short.
pub fn reference(data: &[u8]) {
    let Ok(reference) = text(data).parse::<Reference>() else {
        return;
    };
    for shown in [reference.to_string(), reference.familiar()] {
        assert_eq!(shown.parse().as_ref(), Ok(&reference), "{shown}");
        assert!(
            shown
                .split('/')
                .all(|part| !matches!(part, "" | "." | "..")),
            "{shown}"
        );
    }
}

/// Whatever is compressed comes to an end: at its own, or at a limit.
pub fn decompression(data: &[u8]) {
    // 1 MiB is more than a small input can hold but for zeros.
    let most = 1 << 20;
    drop(decompress(data).map(|stream| io::copy(&mut stream.take(most), &mut io::sink())));
}
