//! A btrfs of a test's own, in a file.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Makes one in the file `disk` and mounts it on `target`, in the mount namespace of the calling
/// thread.
pub(crate) fn mount_new(disk: &Path, target: &Path) {
    let file = fs::File::create(disk).unwrap();
    file.set_len(256 << 20).unwrap();
    run(
        Command::new("mkfs.btrfs").arg("-q").arg(disk),
        "btrfs-progs",
    );
    run(
        Command::new("mount")
            .arg("-o")
            .arg("loop")
            .arg(disk)
            .arg(target),
        "mount, and a kernel with btrfs and loop devices",
    );
}

fn run(command: &mut Command, package: &str) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}: install {package}"));
    assert!(
        output.status.success(),
        "{command:?} failed (it needs {package}): {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
