//! Hostile archives: each attack that is known to have worked on some engine, by its number.
//!
//! The expectation is always one of two: the archive is refused and the store is as before, or
//! what it says stays inside the image.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure is a failed test"
)]

mod scene;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use keel::image::load::{Input, LoadError, Loaded, import, load};
use keel::image::store::Store;
use keel::storage::{DriverName, Keep, TreeName};
use scene::sample::told;
use scene::{Entry, Scene, entry, file, folder, hard_link, link, tar};
use sha2::{Digest as _, Sha256};

const PRECIOUS: &str = "precious";

/// A scene with a file outside, of which `/outside` in an attack is the absolute path.
fn scene() -> Scene {
    let scene = Scene::new(DriverName::Vfs);
    fs::create_dir(scene.beside("outside")).unwrap();
    fs::write(scene.beside("outside/file"), PRECIOUS).unwrap();
    scene
}

fn import_bytes(store: &Store, bytes: Vec<u8>) -> Result<Loaded, LoadError> {
    import(
        store,
        Input::Stream(Box::new(std::io::Cursor::new(bytes))),
        None,
    )
}

fn assert_outside_is_untouched(scene: &Scene) {
    let outside = scene.beside("outside");
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), PRECIOUS);
    assert_eq!(fs::metadata(outside.join("file")).unwrap().nlink(), 1);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

/// The archive is refused for the given reason, and leaves nothing.
#[track_caller]
fn assert_refused(entries: &[Entry], reason: &str) {
    assert_bytes_refused(tar(entries), reason);
}

#[track_caller]
fn assert_bytes_refused(bytes: Vec<u8>, reason: &str) {
    let scene = scene();
    let error = import_bytes(&scene.store(), bytes).expect_err("the archive was accepted");
    let told = told(&error);
    assert!(told.contains(reason), "refused for another reason: {told}");
    scene.assert_nothing_stored();
    assert_outside_is_untouched(&scene);
}

/// The archive is accepted; returns the image's root.
#[track_caller]
fn kept_inside(scene: &Scene, entries: &[Entry]) -> PathBuf {
    let store = scene.store();
    let loaded = match import_bytes(&store, tar(entries)) {
        Ok(loaded) => loaded,
        Err(error) => panic!("refused: {}", told(&error)),
    };
    let image = store.image(&loaded.id).unwrap();
    let name = TreeName::new("test").unwrap();
    let driver = store.storage().driver();
    driver.create(&name, image.top()).unwrap();
    let rootfs = driver.mount(&name, Keep::Yes).unwrap();
    assert_outside_is_untouched(scene);
    rootfs
}

fn absolute(scene: &Scene, name: &str) -> Vec<u8> {
    scene::path_bytes(&scene.beside("outside").join(name)).to_vec()
}

#[test]
fn cve_2014_6407_dot_dot_in_a_path_is_refused() {
    assert_refused(&[file("../outside/file", "evil")], "has a `..`");
    assert_refused(&[file("a/../../outside/file", "evil")], "has a `..`");
    assert_refused(&[folder("../outside/new")], "has a `..`");
    assert_refused(
        &[file("x", "evil").pax("path", "../outside/file")],
        "has a `..`",
    );
    assert_refused(&[hard_link("stolen", "../outside/file")], "has a `..`");
    assert_refused(
        &[hard_link("x", "y").pax("linkpath", "../outside/file")],
        "has a `..`",
    );
    let long = "x/".repeat(60) + "../".repeat(70).as_str() + "outside/file";
    assert_refused(&[file(long, "evil")], "has a `..`");
}

#[test]
fn cve_2014_9356_an_absolute_path_means_the_images_root() {
    let scene = scene();
    let path = absolute(&scene, "file");
    let rootfs = kept_inside(&scene, &[file(&path, "inside")]);
    let inside = rootfs.join(
        Path::new(std::str::from_utf8(&path).unwrap())
            .strip_prefix("/")
            .unwrap(),
    );
    assert_eq!(fs::read_to_string(inside).unwrap(), "inside");
}

#[test]
fn cve_2014_6407_writing_through_an_absolute_link_stays_inside() {
    let scene = scene();
    let outside = absolute(&scene, "");
    let rootfs = kept_inside(
        &scene,
        &[
            folder("etc"),
            link("jump", &outside),
            file("etc/x", "y"),
            link("root", "/"),
            file("root/in", "inside"),
        ],
    );
    assert_eq!(fs::read_to_string(rootfs.join("in")).unwrap(), "inside");
    assert_refused(
        &[link("jump", "/nowhere/at/all"), file("jump/file", "evil")],
        "cannot create the folder",
    );
}

#[test]
fn cve_2014_6407_writing_through_a_relative_link_stays_inside() {
    let scene = scene();
    let up = "../".repeat(40);
    let rootfs = kept_inside(
        &scene,
        &[
            folder("deep"),
            link("deep/up", &up),
            file("deep/up/file", "inside"),
        ],
    );
    assert_eq!(fs::read_to_string(rootfs.join("file")).unwrap(), "inside");
}

#[test]
fn a_file_replaces_a_link_of_its_name_and_does_not_follow_it() {
    let scene = scene();
    let target = absolute(&scene, "file");
    let rootfs = kept_inside(&scene, &[link("log", &target), file("log", "inside")]);
    assert_eq!(fs::read_to_string(rootfs.join("log")).unwrap(), "inside");
    assert!(fs::symlink_metadata(rootfs.join("log")).unwrap().is_file());
}

#[test]
fn a_folder_entry_changes_no_mode_behind_a_link() {
    let scene = scene();
    let outside = absolute(&scene, "");
    fs::set_permissions(scene.beside("outside"), fs::Permissions::from_mode(0o700)).unwrap();
    let mut open = folder("etc");
    open.mode = 0o777;
    let rootfs = kept_inside(&scene, &[link("etc", outside), open]);
    assert!(fs::symlink_metadata(rootfs.join("etc")).unwrap().is_dir());
    let mode = fs::metadata(scene.beside("outside")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_hard_link_to_a_file_outside_is_refused() {
    let scene = scene();
    let target = absolute(&scene, "file");
    assert_refused(&[hard_link("stolen", target)], "is not in the image");
    assert_refused(&[hard_link("stolen", "/etc/shadow")], "is not in the image");
    let folder_of_it = absolute(&scene, "");
    assert_refused(
        &[link("jump", folder_of_it), hard_link("stolen", "jump/file")],
        "is not in the image",
    );
}

#[test]
fn a_hard_link_to_a_link_names_the_link_and_not_its_target() {
    let scene = scene();
    let target = absolute(&scene, "file");
    let rootfs = kept_inside(
        &scene,
        &[
            link("jump", target),
            hard_link("again", "jump"),
            file("again", "inside"),
        ],
    );
    assert_eq!(fs::read_to_string(rootfs.join("again")).unwrap(), "inside");
}

#[test]
fn links_in_a_circle_are_refused_as_a_way() {
    assert_refused(
        &[link("a", "b"), link("b", "a"), file("a/x", "y")],
        "cannot open `a`",
    );
}

#[test]
fn device_nodes_are_left_out_and_counted() {
    let scene = scene();
    let store = scene.store();
    let mut disk = entry(b'4', "dev/sda");
    disk.mode = 0o666;
    let whiteout = entry(b'3', "etc/hidden");
    let loaded = import_bytes(&store, tar(&[folder("dev"), disk, whiteout])).unwrap();
    assert_eq!(loaded.devices, 2);
    let rootfs = {
        let name = TreeName::new("test").unwrap();
        let image = store.image(&loaded.id).unwrap();
        store.storage().driver().create(&name, image.top()).unwrap();
        store.storage().driver().mount(&name, Keep::Yes).unwrap()
    };
    assert_eq!(fs::read_dir(rootfs.join("dev")).unwrap().count(), 0);
    assert!(!rootfs.join("etc/hidden").exists());
}

#[test]
fn attributes_that_rule_overlays_are_refused() {
    for attribute in [
        "trusted.overlay.opaque",
        "trusted.overlay.redirect",
        "user.overlay.metacopy",
    ] {
        let key = format!("SCHILY.xattr.{attribute}");
        assert_refused(
            &[folder("etc").pax(&key, "y")],
            "only the storage driver may set",
        );
    }
}

#[test]
fn labels_of_the_makers_machine_are_left_out() {
    let scene = scene();
    let labelled = file("file", "x").pax(
        "SCHILY.xattr.security.selinux",
        "system_u:object_r:shadow_t:s0",
    );
    let rootfs = kept_inside(&scene, &[labelled]);
    let folder = fs::File::open(&rootfs).unwrap();
    let names = {
        use std::os::fd::AsFd as _;
        keel::sys::xattr::list_at(folder.as_fd(), "file".as_ref()).unwrap()
    };
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn names_with_nul_are_refused() {
    assert_refused(&[file("x", "y").pax("path", "etc/passwd\0.txt")], "NUL");
    assert_refused(&[link("x", "y").pax("linkpath", "a\0b")], "NUL");
    assert_refused(&[hard_link("x", "y").pax("linkpath", "a\0b")], "NUL");
}

#[test]
fn whiteouts_of_dot_and_dot_dot_are_refused() {
    for name in [".wh.", ".wh..", ".wh...", "etc/.wh..."] {
        assert_refused(
            &[folder("etc"), file(name, "")],
            "names no file of its folder",
        );
    }
    assert_refused(&[file(".wh.x/file", "")], "names no file of its folder");
}

#[test]
fn files_that_only_aufs_uses_are_left_out() {
    let scene = scene();
    let rootfs = kept_inside(
        &scene,
        &[
            folder(".wh..wh.plnk"),
            file(".wh..wh.plnk/12.34", "x"),
            file(".wh..wh.aufs", ""),
            file("kept", "x"),
        ],
    );
    assert_eq!(fs::read_dir(rootfs).unwrap().count(), 1);
}

#[test]
fn paths_that_are_too_long_or_too_deep_are_refused() {
    assert_refused(&[file("d/".repeat(4000), "")], "longer than 4096 bytes");
    assert_refused(
        &[file("d/".repeat(1500) + "x", "")],
        "deeper than 256 folders",
    );
    assert_refused(&[file("n".repeat(1 << 20), "")], "too large");
    assert_refused(&[file("n".repeat(300), "")], "longer than 255 bytes");
}

#[test]
fn extended_headers_are_bounded() {
    let endless = file("x", "").pax("comment", vec![b'c'; 2 << 20]);
    assert_refused(&[endless], "too large");
    let many: Vec<Entry> = (0..40).map(|_| entry(b'L', "././@LongLink")).collect();
    assert_refused(&many, "too large");
    let attributes = (0..200).fold(file("x", ""), |file, number| {
        file.pax(&format!("SCHILY.xattr.user.n{number}"), "v")
    });
    assert_refused(&[attributes], "too large");
}

#[test]
fn a_million_entries_and_one_are_refused() {
    // One header over and over, of a file that is passed over.
    let whole = tar(&[file(".wh..wh.x", "")]);
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let thousand = whole[..512].repeat(1000);
    for _ in 0..1001 {
        encoder.write_all(&thousand).unwrap();
    }
    assert_bytes_refused(encoder.finish().unwrap(), "more than 1000000 entries");
}

#[test]
fn a_bomb_is_refused_before_it_fills_the_disk() {
    // A file that says 8 GiB, of zeros: deflate makes 1 of 1000.
    let mut huge = file("huge", "");
    huge.size = Some(1 << 33);
    let header = tar(&[huge])[..512].to_vec();
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&header).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..264 {
        encoder.write_all(&zeros).unwrap();
    }
    assert_bytes_refused(encoder.finish().unwrap(), "grows more than 1000 times");
}

#[test]
fn sizes_and_numbers_that_cannot_be_are_refused() {
    let mut huge = file("huge", "x");
    huge.size = Some(u64::MAX);
    assert_refused(&[huge], "cut off");
    let mut cut = file("cut", "x");
    cut.size = Some(1 << 40);
    assert_refused(&[cut], "cut off");
    assert_refused(&[file("x", "y").pax("size", "-1")], "malformed");
    assert_refused(
        &[file("x", "y").pax("size", "18446744073709551616")],
        "malformed",
    );
    assert_refused(
        &[file("x", "y").pax("uid", "4294967295")],
        "no number that fits",
    );
    let mut nobody = file("x", "y");
    nobody.uid = 1 << 40;
    assert_refused(&[nobody], "no number that fits");
}

#[test]
fn times_before_1970_and_far_ahead_are_taken() {
    let scene = scene();
    let mut ahead = file("ahead", "");
    ahead.mtime = 1 << 33;
    let rootfs = kept_inside(&scene, &[file("old", "").pax("mtime", "-1.5"), ahead]);
    let old = fs::metadata(rootfs.join("old")).unwrap();
    assert_eq!((old.mtime(), old.mtime_nsec()), (-2, 500_000_000));
    assert_eq!(fs::metadata(rootfs.join("ahead")).unwrap().mtime(), 1 << 33);
}

#[test]
fn of_several_entries_of_one_name_the_last_counts() {
    let scene = scene();
    let rootfs = kept_inside(
        &scene,
        &[
            file("x", "first"),
            file("x", "second"),
            folder("d"),
            file("d/inside", "x"),
            file("d", "now a file"),
            file("f", "x"),
            folder("f"),
            file("f/inside", "x"),
            file("g", "x"),
            file("g/inside", "the folder has no entry"),
        ],
    );
    assert_eq!(fs::read_to_string(rootfs.join("x")).unwrap(), "second");
    assert_eq!(fs::read_to_string(rootfs.join("d")).unwrap(), "now a file");
    assert!(rootfs.join("f/inside").exists());
    assert!(rootfs.join("g/inside").exists());
}

#[test]
fn cve_2025_62518_the_size_in_a_pax_header_decides_where_the_next_entry_starts() {
    let scene = scene();
    // A reader that believes the header's 0 would find another entry inside the file.
    let inner = tar(&[file("smuggled", "x")]);
    let mut carrier = file("carrier", &inner).pax("size", inner.len().to_string());
    carrier.size = Some(0);
    let rootfs = kept_inside(&scene, &[carrier, file("after", "y")]);
    assert_eq!(
        fs::metadata(rootfs.join("carrier")).unwrap().len(),
        inner.len() as u64
    );
    assert!(rootfs.join("after").exists());
    assert!(!rootfs.join("smuggled").exists());
}

#[test]
fn the_root_stays_a_folder() {
    assert_refused(&[link("./", "/outside")], "something else than a folder");
    assert_refused(&[file(".", "x")], "something else than a folder");
}

#[test]
fn sparse_files_and_unknown_types_are_refused_by_name() {
    assert_refused(&[entry(b'S', "holes")], "type `S`");
    assert_refused(&[entry(b'M', "volume")], "type `M`");
    assert_refused(
        &[file("x", "").pax("GNU.sparse.major", "1")],
        "type `sparse`",
    );
}

#[test]
fn set_user_id_files_are_kept_where_nobody_else_comes() {
    // CVE-2021-41091: users of the host could run them below the engine's folder.
    let scene = scene();
    let mut tool = file("tool", "x");
    tool.mode = 0o4755;
    let rootfs = kept_inside(&scene, &[tool]);
    assert_eq!(
        fs::metadata(rootfs.join("tool")).unwrap().mode() & 0o7777,
        0o4755
    );
    for folder in ["images/ids", "storage/vfs/layers", "storage/vfs/containers"] {
        let mode = fs::metadata(scene.root.join(folder)).unwrap().mode();
        assert_eq!(mode & 0o077, 0, "{folder}: {mode:o}");
    }
}

#[test]
fn what_is_no_tar_is_refused() {
    assert_bytes_refused(vec![b'x'; 5000], "no tar");
    assert_bytes_refused(vec![b'x'; 100], "cut off");
    let whole = tar(&[file("x", vec![1; 3000])]);
    assert_bytes_refused(whole[..2000].to_vec(), "cut off");
    let mut changed = whole;
    changed[0] = b'y';
    assert_bytes_refused(changed, "checksum");
    assert_bytes_refused(b"\x1f\x8bgarbage".to_vec(), "cannot read it");
}

// Archives of images.

fn load_bytes(store: &Store, bytes: Vec<u8>) -> Result<Vec<Loaded>, LoadError> {
    load(
        store,
        Input::Stream(Box::new(std::io::Cursor::new(bytes))),
        None,
    )
}

#[track_caller]
fn assert_archive_refused(entries: &[Entry], reason: &str) {
    let scene = scene();
    let error = load_bytes(&scene.store(), tar(entries)).expect_err("the archive was accepted");
    let told = told(&error);
    assert!(told.contains(reason), "refused for another reason: {told}");
    scene.assert_nothing_stored();
    assert_outside_is_untouched(&scene);
}

#[test]
fn cve_2014_9358_ids_and_paths_of_a_manifest_cannot_leave_the_archive() {
    let manifest = |config: &str, layer: &str| {
        serde_json::json!([{"Config": config, "RepoTags": ["x"], "Layers": [layer]}]).to_string()
    };
    let config = |bytes: &str| file("c.json", bytes);
    let honest = r#"{"rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}"#;
    for (path, reason) in [
        ("../../etc/shadow", "is refused"),
        ("/etc/shadow", "has no `/etc/shadow`"),
    ] {
        assert_archive_refused(
            &[
                config(honest),
                file("manifest.json", manifest("c.json", path)),
            ],
            reason,
        );
        assert_archive_refused(&[file("manifest.json", manifest(path, "l"))], reason);
    }
    let repositories = r#"{"x":{"latest":"../../../etc"}}"#;
    assert_archive_refused(&[file("repositories", repositories)], "not the JSON");
    let named =
        serde_json::json!([{"Config": "c.json", "RepoTags": ["../../x:y"], "Layers": ["l"]}]);
    assert_archive_refused(
        &[config(honest), file("manifest.json", named.to_string())],
        "gives an image the name",
    );
}

#[test]
fn links_of_an_archive_cannot_leave_it() {
    assert_archive_refused(
        &[link("manifest.json", "../../../etc/passwd")],
        "a link that leads nowhere",
    );
    assert_archive_refused(
        &[link("manifest.json", "/etc/passwd")],
        "a link that leads nowhere",
    );
    assert_archive_refused(
        &[link("manifest.json", "a"), link("a", "manifest.json")],
        "a link that leads nowhere",
    );
}

#[test]
fn links_of_a_folder_cannot_leave_it() {
    let scene = scene();
    let layout = scene.beside("layout");
    fs::create_dir(&layout).unwrap();
    symlink(scene.beside("outside/file"), layout.join("manifest.json")).unwrap();
    let error = load(&scene.store(), Input::Path(layout.clone()), None).unwrap_err();
    assert!(
        told(&error).contains("neither an OCI layout"),
        "{}",
        told(&error)
    );

    // And a FIFO does not make us wait.
    fs::remove_file(layout.join("manifest.json")).unwrap();
    nix::unistd::mkfifo(&layout.join("manifest.json"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let error = load(&scene.store(), Input::Path(layout), None).unwrap_err();
    assert!(told(&error).contains("no plain file"), "{}", told(&error));
    scene.assert_nothing_stored();
}

#[test]
fn metadata_is_bounded() {
    let padded = format!("[{}]", " ".repeat(5 << 20));
    assert_archive_refused(
        &[file("manifest.json", padded)],
        "more than metadata may have",
    );
    let deep = "[".repeat(100_000);
    assert_archive_refused(&[file("manifest.json", deep)], "not the JSON");
}

/// A zstd frame (RFC 8878) of a tar with one file of zeros: a block of four bytes is 128 KiB of it.
fn zeros_by_zstd(name: &str, blocks: u32) -> (Vec<u8>, u64) {
    const BLOCK: u32 = 128 << 10;
    let mut zeros = file(name, "");
    let bytes = u64::from(blocks) * u64::from(BLOCK);
    zeros.size = Some(bytes);
    let header = tar(&[zeros])[..512].to_vec();
    let block = |last: u32, kind: u32, size: u32| (last | kind << 1 | size << 3).to_le_bytes();
    // No checksum, no size; a window of 128 KiB.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
    frame.extend(&block(0, 0, 512)[..3]);
    frame.extend(&header);
    for _ in 0..blocks {
        frame.extend(&block(0, 1, BLOCK)[..3]);
        frame.push(0);
    }
    frame.extend(&block(1, 0, 0)[..3]);
    (frame, bytes)
}

#[test]
fn a_layer_that_counts_many_times_is_one_bomb() {
    // 96 MiB in 4 KB, below what one layer may always have; a hundred of them are 9.6 GB.
    let (frame, bytes) = zeros_by_zstd("zeros", 768);
    let mut hasher = Sha256::new();
    let mut zeros = file("zeros", "");
    zeros.size = Some(bytes);
    hasher.update(&tar(&[zeros])[..512]);
    for _ in 0..96 {
        hasher.update(vec![0; 1 << 20]);
    }
    let diff_id = keel::image::digest::Digest::from_hasher(hasher).to_string();
    let config = serde_json::json!({"rootfs": {"type": "layers", "diff_ids": vec![diff_id; 100]}});
    let manifest = serde_json::json!([{"Config": "c.json", "Layers": vec!["layer"; 100]}]);
    assert_archive_refused(
        &[
            file("manifest.json", manifest.to_string()),
            file("c.json", config.to_string()),
            file("layer", frame),
        ],
        "grow more than 1000 times",
    );
}

#[test]
fn metadata_that_counts_many_times_is_bounded() {
    let config = format!(
        r#"{{"rootfs":{{"type":"layers"}}}}{}"#,
        " ".repeat(4_000_000)
    );
    let manifest = serde_json::json!(vec![serde_json::json!({"Config": "c.json"}); 1000]);
    assert_archive_refused(
        &[
            file("manifest.json", manifest.to_string()),
            file("c.json", config),
        ],
        "more than 64 MiB of metadata all in all",
    );
}
