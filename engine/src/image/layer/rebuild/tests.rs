//! Unpacking a tar and making it again gives the same bytes, whatever the tar holds.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;

use proptest::prelude::*;

use super::*;
use crate::image::layer::{Expected, Lower, unpack};
use crate::storage::Filling;

/// Unpacks `tar` and makes it again; `None` if it is refused.
fn round(tar: &[u8]) -> Option<io::Result<Vec<u8>>> {
    let layer = tempfile::tempdir().unwrap();
    unpack_into(layer.path(), tar).then(|| rebuild(layer.path(), tar))
}

fn unpack_into(layer: &Path, tar: &[u8]) -> bool {
    let tree = layer.join("fs");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("lower"), "of a layer below").unwrap();
    let root = File::open(&tree).unwrap();
    let filling = Filling {
        root: root.as_fd(),
        folder: layer,
    };
    unpack(tar, filling, Lower::Present, Expected::default()).is_ok()
}

fn rebuild(layer: &Path, tar: &[u8]) -> io::Result<Vec<u8>> {
    let mut again = Vec::new();
    let diff_id = DiffId::new(Digest::of(tar));
    let mut rebuilt = LayerTar::open(layer, diff_id).map_err(io::Error::other)?;
    let length = rebuilt.length();
    rebuilt.read_to_end(&mut again)?;
    assert_eq!(length, again.len() as u64);
    Ok(again)
}

#[track_caller]
fn assert_same(tar: &[u8]) {
    let again = round(tar).expect("the tar is refused").unwrap();
    assert!(again == tar, "{} bytes of {}", again.len(), tar.len());
}

/// One entry: type, path, target of a link, contents.
type Part = (u8, &'static str, &'static str, Vec<u8>);

fn tar_of(parts: &[Part], tail: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, path, target, data) in parts {
        let mut header = tar::Header::new_gnu();
        let old = header.as_old_mut();
        for (slot, byte) in old.name.iter_mut().zip(path.as_bytes()) {
            *slot = *byte;
        }
        for (slot, byte) in old.linkname.iter_mut().zip(target.as_bytes()) {
            *slot = *byte;
        }
        old.linkflag = [*kind];
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(7);
        header.set_size(data.len() as u64);
        header.set_cksum();
        out.write_all(header.as_bytes()).unwrap();
        out.write_all(data).unwrap();
        // Padding that is not zero is kept as well.
        out.resize(out.len().next_multiple_of(512), 0xaa);
    }
    out.resize(out.len() + tail, 0);
    out
}

fn file(path: &'static str, data: &str) -> Part {
    (b'0', path, "", data.as_bytes().to_vec())
}

#[test]
fn a_usual_tar_comes_back() {
    let big = "x".repeat(300_000);
    assert_same(&tar_of(
        &[
            (b'5', "a", "", Vec::new()),
            file("a/one", "1"),
            file("a/empty", ""),
            file("made/on/the/way", &big),
            (b'1', "a/again", "a/one", Vec::new()),
            (b'2', "link", "a", Vec::new()),
        ],
        1024,
    ));
}

#[test]
fn a_tar_without_an_end_and_one_with_more_after_it_come_back() {
    let parts = [file("a", "1")];
    assert_same(&tar_of(&parts, 0));
    let more = [tar_of(&parts, 1024), b"more than the end".to_vec()].concat();
    assert_same(&more);
}

#[test]
fn contents_that_a_later_entry_replaces_come_back() {
    assert_same(&tar_of(
        &[
            file("a", "first"),
            file("a", "second"),
            file("d/deep/file", "in a folder"),
            file("d", "that becomes a file"),
            (b'1', "b", "a", Vec::new()),
            file("a", "third, and `b` has the second"),
            file("c", "replaced by a hard link"),
            (b'1', "c", "b", Vec::new()),
            file("dev", "replaced by a device, which is left out"),
            (b'3', "dev", "", Vec::new()),
        ],
        1024,
    ));
}

#[test]
fn contents_behind_a_link_that_is_changed_later_come_back() {
    assert_same(&tar_of(
        &[
            (b'5', "x", "", Vec::new()),
            (b'5', "y", "", Vec::new()),
            (b'2', "d", "x", Vec::new()),
            file("d/file", "in x"),
            (b'2', "d", "y", Vec::new()),
            file("d/file", "in y"),
            file("x/direct", "hidden through the link"),
            (b'2', "d", "x", Vec::new()),
            file("d/.wh.direct", ""),
        ],
        1024,
    ));
}

#[test]
fn what_is_not_unpacked_comes_back() {
    assert_same(&tar_of(
        &[
            file(".wh..wh.plnk/contents", "that only aufs would read"),
            file(".wh.lower", "a whiteout with contents"),
            file("etc/.wh..wh..opq", ""),
        ],
        1024,
    ));
}

#[test]
fn a_changed_file_is_told_and_never_passed_on_as_if_it_were_right() {
    let tar = tar_of(&[file("a", "12345")], 1024);
    for (changed, expected) in [("54321", "they were changed"), ("1", "is not as it was")] {
        let layer = tempfile::tempdir().unwrap();
        assert!(unpack_into(layer.path(), &tar));
        fs::write(layer.path().join("fs/a"), changed).unwrap();
        let error = rebuild(layer.path(), &tar).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_link_that_was_put_into_the_tree_is_not_followed() {
    let layer = tempfile::tempdir().unwrap();
    let tar = tar_of(&[file("a", "12345")], 1024);
    assert!(unpack_into(layer.path(), &tar));
    fs::write(layer.path().join("secret"), "54321").unwrap();
    fs::remove_file(layer.path().join("fs/a")).unwrap();
    std::os::unix::fs::symlink("../secret", layer.path().join("fs/a")).unwrap();
    let error = rebuild(layer.path(), &tar).unwrap_err().to_string();
    assert!(error.contains("cannot open"), "{error}");
}

#[test]
fn a_layer_without_a_record_and_damaged_records_are_told() {
    let layer = tempfile::tempdir().unwrap();
    let tar = tar_of(&[file("a", "12345")], 1024);
    assert!(unpack_into(layer.path(), &tar));
    let path = layer.path().join(RECORD);
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        match rebuild(layer.path(), &tar) {
            // The last bytes are deflate's end and gzip's own check, which nothing depends on.
            Ok(again) => assert!(again == tar && length > whole.len() - 16, "{length}"),
            Err(_) => assert!(length < whole.len()),
        }
    }
    fs::remove_file(&path).unwrap();
    let error = rebuild(layer.path(), &tar).unwrap_err().to_string();
    assert!(error.contains("older keel"), "{error}");
}

const PATHS: [&str; 10] = [
    "a",
    "a/b",
    "a/b/c",
    "d",
    "d/b",
    "d/b/c",
    "lower",
    "a/.wh.b",
    ".wh.a",
    ".wh..wh..opq",
];

fn part() -> impl Strategy<Value = Part> {
    let kind = prop::sample::select(&b"000000512"[..]);
    let path = prop::sample::select(&PATHS[..]);
    let target = prop::sample::select(&["a", "d", "a/b", "d/b", "lower"][..]);
    let data = prop::collection::vec(any::<u8>(), 0..700);
    (kind, path, target, data).prop_map(|(kind, path, target, data)| {
        let data = if kind == b'0' { data } else { Vec::new() };
        (kind, path, target, data)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn unpacking_and_making_again_give_the_same_bytes(
        parts in prop::collection::vec(part(), 0..12),
        tail in prop::sample::select(&[0_usize, 512, 1024, 10_240][..]),
    ) {
        let tar = tar_of(&parts, tail);
        if let Some(again) = round(&tar) {
            prop_assert!(again.unwrap() == tar);
        }
    }

    #[test]
    fn no_record_makes_the_reader_panic_or_lie(noise in prop::collection::vec(any::<u8>(), 1..60), at in any::<prop::sample::Index>()) {
        let layer = tempfile::tempdir().unwrap();
        let tar = tar_of(&[file("a", "12345"), file("b", "67890")], 1024);
        prop_assert!(unpack_into(layer.path(), &tar));
        let path = layer.path().join(RECORD);
        let mut record = fs::read(&path).unwrap();
        let at = at.index(record.len());
        record.splice(at.., noise);
        fs::write(&path, record).unwrap();
        let mut again = Vec::new();
        let read = LayerTar::open(layer.path(), DiffId::new(Digest::of(&tar)))
            .map_err(io::Error::other)
            .and_then(|mut tar| tar.read_to_end(&mut again));
        prop_assert!(read.is_err() || again == tar);
    }
}
