//! Folders of the host and of memory in a container.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::suite::case::{Case, Proof, case};
use crate::suite::check::{holds, same};
use crate::suite::scene::Scene;

pub(super) const CASES: &[Case] = &[
    case(
        "filesystem.volume-is-seen-on-both-sides",
        &["docker.run.volume"],
        both_sides,
    ),
    case(
        "filesystem.volume-read-only-is-read-only",
        &["docker.run.volume.read-only"],
        read_only,
    ),
    case(
        "filesystem.volume-can-be-one-file",
        &["docker.run.volume"],
        one_file,
    ),
    case(
        "filesystem.volume-target-is-made",
        &["docker.run.volume"],
        target_made,
    ),
    case(
        "filesystem.volume-target-cannot-escape",
        &["engine.mounts.inside"],
        target_escape,
    ),
    case(
        "filesystem.volume-outlives-a-read-only-root",
        &["docker.run.volume", "docker.run.read-only"],
        over_read_only,
    ),
    case(
        "filesystem.tmpfs-has-its-options",
        &["docker.run.tmpfs"],
        tmpfs,
    ),
    case(
        "filesystem.tmpfs-is-bounded",
        &["docker.run.tmpfs"],
        tmpfs_full,
    ),
];

/// `HOST:CONTAINER`
fn bind(host: &std::path::Path, container: &str) -> String {
    format!("{}:{container}", host.display())
}

fn both_sides(scene: &Scene<'_>) -> Proof {
    let folder = scene.folder()?;
    fs::write(folder.path().join("from-host"), "host\n")?;
    let volume = bind(folder.path(), "/mnt");
    let text = scene.says(
        &["--volume", &volume],
        &[
            "then",
            "read",
            "/mnt/from-host",
            ",",
            "write",
            "/mnt/from-container",
            "container\n",
        ],
    )?;
    same("what the container read", text.as_str(), "host\n")?;
    let back = fs::read_to_string(folder.path().join("from-container")).unwrap_or_default();
    same("what it wrote, on the host", back.as_str(), "container\n")
}

fn read_only(scene: &Scene<'_>) -> Proof {
    let folder = scene.folder()?;
    fs::write(folder.path().join("file"), "host\n")?;
    let volume = bind(folder.path(), "/mnt:ro");
    let seen = scene.attempts(
        &["-v", &volume],
        &[
            &["read", "/mnt/file"],
            &["write", "/mnt/file", "x"],
            &["rm", "/mnt/file"],
            &["write", "/mnt/new", "x"],
        ],
    )?;
    same(
        "read, write, rm, create",
        seen,
        ["ok host", "EROFS", "EROFS", "EROFS"]
            .map(str::to_owned)
            .to_vec(),
    )?;
    same(
        "the file on the host",
        fs::read_to_string(folder.path().join("file"))?.as_str(),
        "host\n",
    )
}

fn one_file(scene: &Scene<'_>) -> Proof {
    let folder = scene.folder()?;
    let file = folder.path().join("file");
    fs::write(&file, "host\n")?;
    let volume = bind(&file, "/srv/a");
    let seen = scene.attempts(
        &["-v", &volume],
        &[&["read", "/srv/a"], &["write", "/srv/a", "container\n"]],
    )?;
    same(
        "over a file of the image",
        seen,
        ["ok host", "ok"].map(str::to_owned).to_vec(),
    )?;
    same(
        "the file on the host",
        fs::read_to_string(&file)?.as_str(),
        "container\n",
    )
}

fn target_made(scene: &Scene<'_>) -> Proof {
    let folder = scene.folder()?;
    fs::write(folder.path().join("file"), "host\n")?;
    let volume = bind(folder.path(), "/made/for/it");
    same(
        "through a new folder",
        scene
            .says(&["-v", &volume], &["read", "/made/for/it/file"])?
            .as_str(),
        "host\n",
    )
}

/// The target lies behind a link of the image that leads out of the root if the host follows
/// it (CVE-2021-30465 is the race to this).
fn target_escape(scene: &Scene<'_>) -> Proof {
    let folder = scene.folder()?;
    fs::write(folder.path().join("file"), "host\n")?;
    let name = scene.name();
    for link in ["/srv/out", "/srv/absolute"] {
        let volume = bind(folder.path(), &format!("{link}/{name}"));
        let path = format!("/tmp/{name}/file");
        let done = scene.run(&["-v", &volume], &["read", &path])?;
        let outside = std::path::Path::new("/tmp").join(&name);
        let escaped = outside.exists();
        if escaped {
            drop(fs::remove_dir_all(&outside));
        }
        holds(!escaped, || {
            format!("{} was made on the host", outside.display())
        })?;
        // To refuse is as good as to stay inside.
        holds(done.code() == 125 || done.out() == "host\n", || {
            done.account()
        })?;
    }
    let plain = bind(folder.path(), "/mnt");
    same(
        "a plain target",
        scene
            .says(&["-v", &plain], &["read", "/mnt/file"])?
            .as_str(),
        "host\n",
    )
}

fn over_read_only(scene: &Scene<'_>) -> Proof {
    let folder = scene.folder()?;
    let volume = bind(folder.path(), "/mnt");
    let seen = scene.attempts(
        &["--read-only", "-v", &volume],
        &[
            &["write", "/mnt/file", "container\n"],
            &["write", "/srv/file", "x"],
        ],
    )?;
    same(
        "writing to the volume and to the root",
        seen,
        ["ok", "EROFS"].map(str::to_owned).to_vec(),
    )?;
    let back = fs::read_to_string(folder.path().join("file")).unwrap_or_default();
    same("the file on the host", back.as_str(), "container\n")
}

fn tmpfs(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&["--tmpfs", "/scratch:size=1m,mode=1770"], &["pause"])?;
    let mount = container.process.mount_at("/scratch")?;
    same("file system", mount.kind.as_str(), "tmpfs")?;
    let size = mount
        .super_options
        .iter()
        .find_map(|option| option.strip_prefix("size="));
    same("size", size, Some("1024k"))?;
    for option in ["nosuid", "nodev", "noexec"] {
        holds(mount.has(option), || {
            format!("it is mounted without {option}, Docker's default")
        })?;
    }
    // The mode as the host sees it through the container's root.
    let path = format!("/proc/{}/root/scratch", container.process.0);
    let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
    same("mode", format!("{mode:o}"), "1770".to_owned())
}

fn tmpfs_full(scene: &Scene<'_>) -> Proof {
    let seen = scene.attempts(
        &["--tmpfs", "/scratch:size=1m"],
        &[
            &["write", "/scratch/small", "x"],
            &["fill", "/scratch/large", "2"],
        ],
    )?;
    same(
        "a byte, and 2 MiB",
        seen,
        ["ok", "ENOSPC"].map(str::to_owned).to_vec(),
    )
}
