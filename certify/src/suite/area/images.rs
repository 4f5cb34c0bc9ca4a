//! What an image says about its containers, and how its layers stack.

use crate::suite::case::{Case, Proof, case};
use crate::suite::check::{holds, same};
use crate::suite::image::{BASE, CONFIGURED, LAYERED};
use crate::suite::scene::Scene;

pub(super) const CASES: &[Case] = &[
    case(
        "images.entrypoint-and-command-are-the-images",
        &["oci.image.config.entrypoint"],
        entrypoint,
    ),
    case(
        "images.entrypoint-can-be-overridden",
        &["docker.run.entrypoint"],
        override_entrypoint,
    ),
    case(
        "images.environment-is-the-images",
        &["oci.image.config.env"],
        environment,
    ),
    case(
        "images.user-is-the-images",
        &["oci.image.config.user"],
        user,
    ),
    case(
        "images.working-directory-is-the-images",
        &["oci.image.config.workdir"],
        workdir,
    ),
    case(
        "images.user-can-be-overridden",
        &["docker.run.user"],
        override_user,
    ),
    case(
        "images.unknown-users-are-refused",
        &["docker.run.user"],
        unknown_user,
    ),
    case("images.upper-layers-win", &["oci.image.layer.order"], order),
    case(
        "images.whiteouts-remove",
        &["oci.image.layer.whiteout"],
        whiteouts,
    ),
    case(
        "images.opaque-folders-hide",
        &["oci.image.layer.opaque"],
        opaque,
    ),
    case("images.types-can-change", &["oci.image.layer.order"], types),
    case(
        "images.hard-links-are-one-file",
        &["oci.image.layer.hard-links"],
        hard_links,
    ),
    case(
        "images.owners-modes-and-times-are-kept",
        &["oci.image.layer.attributes"],
        attributes,
    ),
    case(
        "images.capabilities-of-files-are-kept",
        &["oci.image.layer.xattrs"],
        xattrs,
    ),
    case(
        "images.folders-without-entries-are-made",
        &["oci.image.layer.implied"],
        implied,
    ),
];

fn entrypoint(scene: &Scene<'_>) -> Proof {
    let text = scene.image_says(CONFIGURED, &[], &[])?;
    same(
        "entrypoint and command",
        text.as_str(),
        "\"from-entrypoint\"\n\"from-cmd\"\n",
    )?;
    let text = scene.image_says(CONFIGURED, &[], &["mine", "two words"])?;
    same(
        "with a command given",
        text.as_str(),
        "\"from-entrypoint\"\n\"mine\"\n\"two words\"\n",
    )
}

fn override_entrypoint(scene: &Scene<'_>) -> Proof {
    let text = scene.image_says(CONFIGURED, &["--entrypoint", "args"], &["mine"])?;
    same("with a command", text.as_str(), "\"mine\"\n")?;
    // The image's command belongs to the image's entrypoint, and goes with it.
    let text = scene.image_says(CONFIGURED, &["--entrypoint", "args"], &[])?;
    same("without a command", text.as_str(), "")
}

fn environment(scene: &Scene<'_>) -> Proof {
    let text = scene.image_says(
        CONFIGURED,
        &["--entrypoint", "env", "--env", "SHIP=Beagle"],
        &["PATH", "COLOUR", "SHIP", "HOME"],
    )?;
    same(
        "environment",
        text.as_str(),
        "COLOUR=blue\nHOME=/home/sailor\nPATH=/bin\nSHIP=Beagle\n",
    )
}

fn user(scene: &Scene<'_>) -> Proof {
    let text = scene.image_says(CONFIGURED, &["--entrypoint", "id"], &[])?;
    let ids = text.trim().split_once(" groups=").unwrap_or_default();
    same(
        "user and group",
        ids.0,
        "uid=1000 euid=1000 gid=1000 egid=1000",
    )?;
    holds(ids.1.split(',').any(|group| group == "2000"), || {
        format!("the groups of /etc/group are missing: {text}")
    })
}

fn workdir(scene: &Scene<'_>) -> Proof {
    let text = scene.image_says(CONFIGURED, &["--entrypoint", "pwd"], &[])?;
    same(
        "working directory",
        text.as_str(),
        "/home/sailor /home/sailor\n",
    )
}

fn override_user(scene: &Scene<'_>) -> Proof {
    for (user, expected) in [
        ("1234:5678", "uid=1234 euid=1234 gid=5678 egid=5678"),
        ("sailor", "uid=1000 euid=1000 gid=1000 egid=1000"),
        ("sailor:crew", "uid=1000 euid=1000 gid=2000 egid=2000"),
        // A number that no file knows belongs to the group of root.
        ("4000", "uid=4000 euid=4000 gid=0 egid=0"),
    ] {
        let text = scene.says(&["--user", user], &["id"])?;
        same(user, text.split(" groups=").next(), Some(expected))?;
    }
    // What the container says of itself, seen from outside.
    let container = scene.start(&["--user", "1234:5678"], &["pause"])?;
    same(
        "Uid on the host",
        container.process.status("Uid")?.as_str(),
        "1234\t1234\t1234\t1234",
    )?;
    same(
        "Gid on the host",
        container.process.status("Gid")?.as_str(),
        "5678\t5678\t5678\t5678",
    )
}

fn unknown_user(scene: &Scene<'_>) -> Proof {
    scene.says(&["--user", "sailor"], &["true"])?;
    let done = scene.run(&["--user", "nobody-of-that-name"], &["echo", "in"])?;
    holds(done.code() >= 125 && done.stdout.is_empty(), || {
        done.account()
    })
}

fn order(scene: &Scene<'_>) -> Proof {
    let text = scene.image_says(
        LAYERED,
        &[],
        &[
            "read",
            "/data/kept",
            "/data/replaced",
            "/data/link",
            "/etc/release",
        ],
    )?;
    same(
        "kept, replaced, a link to kept, a file of the base",
        text.as_str(),
        "lower\nupper\nlower\nSeaworthy guest\n",
    )
}

fn whiteouts(scene: &Scene<'_>) -> Proof {
    let seen = scene.image_attempts(
        LAYERED,
        &[],
        &[
            &["stat", "/data/removed"],
            &["stat", "/data/removed-folder"],
            &["ls", "/data"],
        ],
    )?;
    same(
        "a file and a folder with whiteouts",
        seen.get(..2),
        Some(&["ENOENT".to_owned(), "ENOENT".to_owned()][..]),
    )?;
    let names = seen.get(2).map(String::as_str).unwrap_or_default();
    holds(names.contains("kept"), || {
        format!("the folder lost what has no whiteout: {names}")
    })?;
    holds(
        !names.contains(".wh.") && !names.contains("removed"),
        || format!("a whiteout shows: {names}"),
    )
}

fn opaque(scene: &Scene<'_>) -> Proof {
    let seen = scene.image_attempts(
        LAYERED,
        &[],
        &[&["ls", "/data/opaque"], &["ls", "/data/opaque-late"]],
    )?;
    same(
        "marked before and after an entry of its own",
        seen,
        ["ok new", "ok new"].map(str::to_owned).to_vec(),
    )
}

fn types(scene: &Scene<'_>) -> Proof {
    let seen = scene.image_attempts(
        LAYERED,
        &[],
        &[
            &["ls", "/data/becomes-folder"],
            &["read", "/data/becomes-file"],
        ],
    )?;
    same(
        "a file that became a folder, and the reverse",
        seen,
        ["ok inside", "ok upper"].map(str::to_owned).to_vec(),
    )
}

fn hard_links(scene: &Scene<'_>) -> Proof {
    let text = scene.image_says(LAYERED, &[], &["stat", "/data/first", "/data/second"])?;
    let links: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split(' ').skip(7).take(2).collect())
        .collect();
    let one_file =
        matches!(links.as_slice(), [one, two] if one == two && one.first() == Some(&"2"));
    holds(one_file, || {
        format!("two names of one file have other inodes or counts: {text}")
    })?;
    let text = scene.image_says(LAYERED, &[], &["read", "/data/second", "/data/linked-now"])?;
    same(
        "the second name, and a link to a file of a lower layer",
        text.as_str(),
        "shared\nlower\n",
    )
}

fn attributes(scene: &Scene<'_>) -> Proof {
    let paths = [
        "/data/owned",
        "/data/setuid",
        "/data/setgid",
        "/data/sticky",
        "/data/old-folder",
        "/data/link",
    ];
    let command: Vec<&str> = std::iter::once("stat").chain(paths).collect();
    let text = scene.image_says(LAYERED, &[], &command)?;
    let seen: Vec<String> = text
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            // Type, mode, owner, group, time; sizes of folders are the file system's own.
            [1, 2, 3, 4, 6]
                .map(|index| words.get(index).copied().unwrap_or_default())
                .join(" ")
        })
        .collect();
    let expected = [
        "file 0640 1234 4321 1000000000",
        "file 4755 0 0 1600000000",
        "file 2755 0 0 1600000000",
        "dir 1777 0 0 1600000000",
        "dir 0755 0 0 1100000000",
        "link 0777 0 0 1600000000",
    ];
    same(
        "type, mode, owner, group, time",
        seen,
        expected.map(str::to_owned).to_vec(),
    )
}

fn xattrs(scene: &Scene<'_>) -> Proof {
    let text = scene.image_says(
        LAYERED,
        &[],
        &["getxattr", "/data/capable", "security.capability"],
    )?;
    same(
        "cap_net_raw=ep as the kernel stores it",
        text.as_str(),
        "0100000200200000000000000000000000000000\n",
    )
}

fn implied(scene: &Scene<'_>) -> Proof {
    let text = scene.image_says(LAYERED, &[], &["stat", "/implied", "/implied/deeper"])?;
    let seen: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split(' ').skip(1).take(4).collect())
        .collect();
    same(
        "type, mode, owner, group",
        seen,
        vec![vec!["dir", "0755", "0", "0"]; 2],
    )?;
    let kept = scene.image_says(LAYERED, &[], &["read", "/implied/deeper/file"])?;
    same("what lies in them", kept.as_str(), "lower\n")?;
    let plain = scene.image_attempts(BASE, &[], &[&["stat", "/implied"]])?;
    same("in an image without them", plain, vec!["ENOENT".to_owned()])
}
