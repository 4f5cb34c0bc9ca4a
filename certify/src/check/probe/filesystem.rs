//! File systems: known to the kernel, and for overlay, whether it works.

use std::fs;
use std::io;

use nix::mount::{MsFlags, mount};

use super::{Findings, Scratch, fails, mount_point, not_loaded, note, undecided, works};

/// Requirement → file system.
const KINDS: [(&str, &str); 6] = [
    ("kernel.fs.tmpfs", "tmpfs"),
    ("kernel.storage.aufs", "aufs"),
    ("kernel.storage.btrfs", "btrfs"),
    ("kernel.storage.ext4", "ext4"),
    ("kernel.storage.xfs", "xfs"),
    ("kernel.ipc.mqueue", "mqueue"),
];

pub(super) fn probe(findings: &mut Findings, scratch: Scratch) {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let is_known = |name: &str| {
        known
            .lines()
            .any(|line| line.split_whitespace().next_back() == Some(name))
    };
    for (id, name) in KINDS {
        let finding = if is_known(name) {
            works(format!("the kernel knows the file system {name}"))
        } else {
            not_loaded(format!(
                "the kernel does not know the file system {name} now"
            ))
        };
        note(findings, id, finding);
    }
    let overlay = if !is_known("overlay") {
        not_loaded("the kernel does not know the file system overlay now")
    } else if let Scratch::Refused(errno) = scratch {
        undecided(format!("mounting one gives {errno}: it needs root"))
    } else {
        match overlay() {
            Ok(()) => works("an overlay was mounted, and a file of its lower layer removed in it"),
            Err(error) => fails(format!(
                "mounting an overlay and removing a file in it: {error}"
            )),
        }
    };
    note(findings, "kernel.storage.overlay", overlay);
}

/// Mounts an overlay on the scratch tmpfs and removes a lower file in it, which makes a whiteout.
fn overlay() -> io::Result<()> {
    let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map(mount_point);
    let (lower, upper, work, merged) = (lower?, upper?, work?, merged?);
    fs::write(lower.join("file"), "")?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    let none = None::<&str>;
    mount(
        none,
        &merged,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )?;
    fs::remove_file(merged.join("file"))
}
