//! The container's root: a layer of its own above the image's.

use std::collections::BTreeSet;

use crate::suite::case::{Case, Proof, case};
use crate::suite::check::{holds, same};
use crate::suite::scene::{Scene, trying};

pub(super) const CASES: &[Case] = &[
    case(
        "filesystem.writes-leave-the-image-alone",
        &["engine.storage.image-unchanged"],
        image_unchanged,
    ),
    case(
        "filesystem.containers-do-not-see-each-others-files",
        &["engine.storage.apart"],
        apart,
    ),
    case(
        "filesystem.files-last-as-long-as-the-container",
        &["engine.storage.layer"],
        lasts,
    ),
    case(
        "filesystem.deleted-files-are-gone",
        &["engine.storage.delete"],
        deleted,
    ),
    case(
        "filesystem.a-folder-made-anew-is-empty",
        &["engine.storage.delete"],
        made_anew,
    ),
    case(
        "filesystem.changing-a-file-keeps-its-attributes",
        &["engine.storage.copy-up"],
        copy_up,
    ),
    case(
        "filesystem.renamed-files-keep-their-content",
        &["engine.storage.rename"],
        rename,
    ),
    case(
        "filesystem.hard-links-hold",
        &["engine.storage.hard-links"],
        hard_links,
    ),
    case("filesystem.diff-tells-what-changed", &["docker.diff"], diff),
    case(
        "filesystem.read-only-root-is-read-only",
        &["docker.run.read-only", "oci.root.readonly"],
        read_only,
    ),
    case(
        "filesystem.read-only-root-leaves-dev-usable",
        &["docker.run.read-only"],
        read_only_dev,
    ),
    case(
        "filesystem.working-directory-is-made",
        &["docker.run.workdir"],
        workdir,
    ),
];

fn image_unchanged(scene: &Scene<'_>) -> Proof {
    let first = scene.says(
        &[],
        &["then", "write", "/srv/a", "changed", ",", "read", "/srv/a"],
    )?;
    same("the file after writing to it", first.as_str(), "changed")?;
    same(
        "the file in the next container",
        scene.says(&[], &["read", "/srv/a"])?.as_str(),
        "image\n",
    )
}

fn apart(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["pause"])?;
    container.exec_says(&["write", "/tmp/mine", "mine"])?;
    let other = scene.attempts(&[], &[&["read", "/tmp/mine"]])?;
    same(
        "the file in another container",
        other,
        vec!["ENOENT".to_owned()],
    )?;
    same(
        "and in its own",
        container.exec_says(&["read", "/tmp/mine"])?.as_str(),
        "mine",
    )
}

fn lasts(scene: &Scene<'_>) -> Proof {
    let container = scene.start_unready(&[], &["write", "/made", "here"])?;
    same("exit status", container.wait()?, 0)?;
    let diff = container.verb_says("diff", &[])?;
    holds(diff.lines().any(|line| line == "A /made"), || {
        format!("a file that an ended container made is not in its diff: {diff:?}")
    })
}

fn deleted(scene: &Scene<'_>) -> Proof {
    let seen = scene.attempts(
        &[],
        &[
            &["rm", "/srv/a"],
            &["read", "/srv/a"],
            &["ls", "/srv"],
            &["write", "/srv/a", "again"],
            &["read", "/srv/a"],
            &["ls", "/srv"],
        ],
    )?;
    let without = "ok absolute; b; folder; out".to_owned();
    let with = "ok a; absolute; b; folder; out".to_owned();
    let expected = [
        "ok".to_owned(),
        "ENOENT".to_owned(),
        without,
        "ok".to_owned(),
        "ok again".to_owned(),
        with,
    ];
    same(
        "deleting a file of the image, and making it again",
        seen,
        expected.to_vec(),
    )
}

fn made_anew(scene: &Scene<'_>) -> Proof {
    let seen = scene.attempts(
        &[],
        &[
            &["rm-tree", "/srv/folder"],
            &["mkdir", "/srv/folder"],
            &["ls", "/srv/folder"],
            &["read", "/srv/folder/deep"],
        ],
    )?;
    same(
        "removing a folder of the image, and making it again",
        seen,
        ["ok", "ok", "ok", "ENOENT"].map(str::to_owned).to_vec(),
    )
}

fn copy_up(scene: &Scene<'_>) -> Proof {
    let text = scene.says(
        &[],
        &[
            "then", "append", "/srv/b", "more", ",", "stat", "/srv/b", ",", "read", "/srv/b",
        ],
    )?;
    let attributes: Vec<&str> = text.split(' ').skip(1).take(5).collect();
    same(
        "type, mode, owner, group, size",
        attributes,
        vec!["file", "0640", "1000", "2000", "10"],
    )?;
    holds(text.ends_with("\nimage\nmore"), || {
        format!("the content is odd: {text:?}")
    })
}

fn rename(scene: &Scene<'_>) -> Proof {
    let seen = scene.attempts(
        &[],
        &[
            &["mv", "/srv/a", "/srv/renamed"],
            &["read", "/srv/a"],
            &["read", "/srv/renamed"],
        ],
    )?;
    same(
        "renaming a file of the image",
        seen,
        ["ok", "ENOENT", "ok image"].map(str::to_owned).to_vec(),
    )
}

fn hard_links(scene: &Scene<'_>) -> Proof {
    let text = scene.says(
        &[],
        &[
            "then", "write", "/tmp/one", "x", ",", "ln", "/tmp/one", "/tmp/two", ",", "append",
            "/tmp/two", "y", ",", "stat", "/tmp/one", "/tmp/two", ",", "read", "/tmp/one",
        ],
    )?;
    let links: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            Some((*words.get(7)?, *words.get(8)?))
        })
        .collect();
    holds(
        matches!(links.as_slice(), [one, two] if one == two && one.0 == "2"),
        || format!("the two names are not one file: {text}"),
    )?;
    holds(text.ends_with("\nxy"), || {
        format!("the content is odd: {text:?}")
    })
}

fn diff(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["pause"])?;
    container.exec_says(&[
        "then",
        "write",
        "/srv/new",
        "x",
        ",",
        "append",
        "/srv/a",
        "x",
        ",",
        "rm",
        "/srv/folder/deep",
        ",",
        "mkdir",
        "/made",
        ",",
        "write",
        "/made/inside",
        "x",
    ])?;
    let text = container.verb_says("diff", &[])?;
    // What the engine itself adds (mount points) is its own affair.
    let seen: BTreeSet<&str> = text
        .lines()
        .filter(|line| {
            line.get(2..)
                .is_some_and(|path| path.starts_with("/srv") || path.starts_with("/made"))
        })
        .collect();
    let expected = BTreeSet::from([
        "C /srv",
        "A /srv/new",
        "C /srv/a",
        "C /srv/folder",
        "D /srv/folder/deep",
        "A /made",
        "A /made/inside",
    ]);
    same("changes", seen, expected)
}

fn read_only(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&["--read-only"], &["pause"])?;
    holds(container.process.mount_at("/")?.is_read_only(), || {
        "the root is mounted rw".to_owned()
    })?;
    let seen = container.exec_says(&trying(&[
        &["write", "/srv/a", "x"],
        &["mkdir", "/new"],
        &["rm", "/srv/a"],
        &["chmod", "0777", "/srv/a"],
        &["read", "/srv/a"],
    ]))?;
    same(
        "write, mkdir, rm, chmod, read",
        seen.as_str(),
        "EROFS\nEROFS\nEROFS\nEROFS\nok image\n",
    )
}

fn read_only_dev(scene: &Scene<'_>) -> Proof {
    let seen = scene.attempts(
        &["--read-only", "--tmpfs", "/tmp"],
        &[
            &["write", "/dev/null", "x"],
            &["write", "/dev/shm/file", "x"],
            &["write", "/tmp/file", "x"],
            &["write", "/srv/file", "x"],
        ],
    )?;
    same(
        "writing to null, shm, a tmpfs, the root",
        seen,
        ["ok", "ok", "ok", "EROFS"].map(str::to_owned).to_vec(),
    )
}

fn workdir(scene: &Scene<'_>) -> Proof {
    let text = scene.says(&["--workdir", "/made/for/this"], &["pwd"])?;
    same(
        "working directory",
        text.as_str(),
        "/made/for/this /made/for/this\n",
    )
}
