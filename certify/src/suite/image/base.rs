//! The images that most cases run, made once and loaded together, so that the one big layer
//! is hashed and unpacked once a run.

use std::io;
use std::path::Path;

use serde_json::json;

use super::archive::{Archive, Image};
use super::layer::{Entry, Layer};
use crate::guest_tool;

/// The tool, and the few files that a system has.
pub(in crate::suite) const BASE: &str = "localhost/seaworthy-base:1";
/// The same below two layers that change and remove each other's files.
pub(in crate::suite) const LAYERED: &str = "localhost/seaworthy-layered:1";
/// The same with everything set in its configuration.
pub(in crate::suite) const CONFIGURED: &str = "localhost/seaworthy-configured:1";

/// Writes the archive of all three to `path`.
pub(in crate::suite) fn base_archive(payload: &[u8], path: &Path) -> io::Result<()> {
    let tool = Layer::new(&tool_entries(payload))?;
    let base = [tool.clone(), Layer::new(&system_entries())?];
    let mut layered = base.to_vec();
    layered.extend([Layer::new(&lower_entries())?, Layer::new(&upper_entries())?]);
    let configured = Image {
        config: json!({
            "Env": ["PATH=/bin", "COLOUR=blue", "SHIP=Argo"],
            "User": "sailor",
            "WorkingDir": "/home/sailor",
            "Entrypoint": ["then", "args", "from-entrypoint"],
            "Cmd": ["from-cmd"],
        }),
        ..Image::new(CONFIGURED, &base)
    };
    let images = [
        Image::new(BASE, &base),
        Image::new(LAYERED, &layered),
        configured,
    ];
    Archive::Docker.write(&images, path)
}

fn tool_entries(payload: &[u8]) -> Vec<Entry> {
    let mut entries = vec![
        Entry::folder("bin/"),
        Entry::file("bin/seaworthy", payload).mode(0o755),
    ];
    // Not symbolic ones: each of those is an inode to make, describe and remove for every
    // container of a driver that copies.
    entries.extend(
        guest_tool::applets()
            .map(|applet| Entry::hard_link(&format!("bin/{}", applet.name), "bin/seaworthy")),
    );
    entries
}

fn system_entries() -> Vec<Entry> {
    vec![
        Entry::folder("etc/"),
        Entry::file(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/true\nsailor:x:1000:1000::/home/sailor:/bin/true\n",
        ),
        Entry::file(
            "etc/group",
            "root:x:0:\nsailor:x:1000:\ncrew:x:2000:sailor\n",
        ),
        Entry::file("etc/release", "Seaworthy guest\n"),
        Entry::file("etc/plain", "not a program\n"),
        Entry::folder("root/").mode(0o700),
        Entry::folder("home/"),
        Entry::folder("home/sailor/").owner(1000, 1000),
        Entry::folder("tmp/").mode(0o1777),
        Entry::folder("srv/"),
        Entry::file("srv/a", "image\n"),
        Entry::file("srv/b", "image\n")
            .mode(0o640)
            .owner(1000, 2000),
        Entry::folder("srv/folder/"),
        Entry::file("srv/folder/deep", "image\n"),
        // Links that lead out of the root if they are followed on the host.
        Entry::symlink("srv/out", "../../../../../../../../tmp"),
        Entry::symlink("srv/absolute", "/tmp"),
        Entry::symlink("bin/self-exe", "/proc/self/exe"),
    ]
}

/// What the upper layer then changes. `security.capability` here is `cap_net_raw=ep` in the
/// on-disk form of version 2 (`linux/capability.h`, `struct vfs_cap_data`).
fn lower_entries() -> Vec<Entry> {
    vec![
        Entry::folder("data/"),
        Entry::file("data/kept", "lower\n"),
        Entry::file("data/replaced", "lower\n"),
        Entry::file("data/removed", "lower\n"),
        Entry::folder("data/removed-folder/"),
        Entry::file("data/removed-folder/inside", "lower\n"),
        Entry::folder("data/opaque/"),
        Entry::file("data/opaque/old", "lower\n"),
        Entry::folder("data/opaque-late/"),
        Entry::file("data/opaque-late/old", "lower\n"),
        Entry::file("data/becomes-folder", "lower\n"),
        Entry::folder("data/becomes-file/"),
        Entry::file("data/becomes-file/inside", "lower\n"),
        Entry::file("data/owned", "lower\n")
            .owner(1234, 4321)
            .mode(0o640)
            .mtime(1_000_000_000),
        Entry::file("data/setuid", "lower\n").mode(0o4755),
        Entry::file("data/setgid", "lower\n").mode(0o2755),
        Entry::folder("data/sticky/").mode(0o1777),
        Entry::folder("data/old-folder/").mtime(1_100_000_000),
        Entry::file("data/old-folder/inside", "lower\n"),
        Entry::file("data/first", "shared\n"),
        Entry::hard_link("data/second", "data/first"),
        Entry::file("data/linked-later", "lower\n"),
        Entry::file("data/capable", "lower\n")
            .mode(0o755)
            .xattr("security.capability", &CAP_NET_RAW),
        Entry::symlink("data/link", "kept"),
        // No entries for the folders that it lies in.
        Entry::file("implied/deeper/file", "lower\n"),
    ]
}

/// `cap_net_raw=ep`.
const CAP_NET_RAW: [u8; 20] = [
    0x01, 0x00, 0x00, 0x02, 0x00, 0x20, 0x00, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

fn upper_entries() -> Vec<Entry> {
    vec![
        Entry::file("data/replaced", "upper\n"),
        Entry::whiteout("data/removed"),
        Entry::whiteout("data/removed-folder"),
        Entry::folder("data/opaque/"),
        Entry::opaque("data/opaque"),
        Entry::file("data/opaque/new", "upper\n"),
        Entry::folder("data/opaque-late/"),
        Entry::file("data/opaque-late/new", "upper\n"),
        // After an entry of its own: it hides lower layers only, whatever the order.
        Entry::opaque("data/opaque-late"),
        Entry::folder("data/becomes-folder/"),
        Entry::file("data/becomes-folder/inside", "upper\n"),
        Entry::file("data/becomes-file", "upper\n"),
        Entry::hard_link("data/linked-now", "data/linked-later"),
    ]
}
