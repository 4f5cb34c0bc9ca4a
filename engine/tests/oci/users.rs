//! User namespaces, and mounts whose files look like other users'.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use serde_json::json;

use crate::scene::Scene;

const FIRST: u32 = 200_000;

fn own_tree(path: &Path, id: u32) {
    std::os::unix::fs::lchown(path, Some(id), Some(id)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            own_tree(&entry.unwrap().path(), id);
        }
    }
}

/// A container whose users 0 to 999 are the host's from 200,000 on.
fn scene(script: &str) -> Scene {
    let mut scene = Scene::new(script);
    // busybox is linked to that of other scenes.
    let busybox = scene.rootfs().join("bin/busybox");
    let copy = scene.path("copy");
    fs::copy(&busybox, &copy).unwrap();
    fs::rename(&copy, &busybox).unwrap();
    own_tree(&scene.rootfs(), FIRST);
    let list = scene.spec["linux"]["namespaces"].as_array_mut().unwrap();
    list.push(json!({"type": "user"}));
    let map = json!([{"containerID": 0, "hostID": FIRST, "size": 1000}]);
    scene
        .set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map)
}

#[test]
fn root_inside_is_nobody_outside() {
    let scene = scene(
        "id -u; touch /made; cat /proc/self/uid_map; echo x > /dev/null; head -c 1 /dev/zero | wc -c; \
         ls -ln /dev/null; echo ready; sleep 600",
    );
    scene.up();
    let out = scene.out();
    assert!(out.starts_with("0\n"), "{out}");
    let map = out.lines().nth(1).unwrap();
    let numbers: Vec<_> = map.split_whitespace().collect();
    assert_eq!(numbers, ["0", "200000", "1000"]);
    let made = fs::metadata(scene.rootfs().join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (FIRST, FIRST));
    let status = fs::metadata(format!("/proc/{}", scene.pid())).unwrap();
    assert_eq!(status.uid(), FIRST);
    // Namespaces of its own belong to it.
    let answer = scene.call([
        "exec",
        "c",
        "sh",
        "-c",
        "id -u; hostname other && hostname; cat /proc/self/gid_map",
    ]);
    assert!(answer.stdout.starts_with("0\n"), "{answer:#?}");
    assert!(answer.stdout.contains("200000"), "{answer:#?}");
}

#[test]
fn its_user_may_be_another_and_its_score_is_set() {
    let scene = scene("id; cat /proc/self/oom_score_adj")
        .set(
            "/process/user",
            json!({"uid": 5, "gid": 6, "additionalGids": [7]}),
        )
        .set("/process/oomScoreAdj", json!(300));
    let answer = scene.run().success();
    assert_eq!(answer.stdout, "uid=5 gid=6 groups=7\n300\n");
}

#[test]
fn sources_that_are_closed_to_the_container_can_be_mounted() {
    let scene = scene("cat /volume/file; touch /volume/new");
    let closed = scene.path("closed");
    let volume = closed.join("volume");
    fs::create_dir_all(&volume).unwrap();
    fs::write(volume.join("file"), "inside\n").unwrap();
    chown(&volume, Some(FIRST), Some(FIRST)).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let mount =
        json!({"destination": "/volume", "type": "bind", "source": volume, "options": ["bind"]});
    let mut scene = scene;
    scene.spec["mounts"].as_array_mut().unwrap().push(mount);
    let answer = scene.run().success();
    assert_eq!(answer.stdout, "inside\n");
    assert_eq!(fs::metadata(volume.join("new")).unwrap().uid(), FIRST);
}

/// A mount of a mount with a map, on a file system that can: ext4, xfs, btrfs and tmpfs can.
fn with_mapped(scene: Scene, options: &[&str], maps: Option<(u32, u32)>) -> Scene {
    let volume = scene.path("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("file"), "").unwrap();
    chown(volume.join("file"), Some(1), Some(2)).unwrap();
    let mut mount =
        json!({"destination": "/volume", "type": "bind", "source": volume, "options": options});
    if let Some((from, to)) = maps {
        let map = json!([{"containerID": from, "hostID": to, "size": 10}]);
        mount["uidMappings"] = map.clone();
        mount["gidMappings"] = map;
    }
    let mut scene = scene;
    scene.spec["mounts"].as_array_mut().unwrap().push(mount);
    scene
}

#[test]
fn files_of_a_mapped_mount_look_like_other_users() {
    let script = "stat -c '%u:%g' /volume/file";
    let own = with_mapped(Scene::new(script), &["bind"], Some((0, 500)));
    assert_eq!(own.run().success().stdout, "501:502\n");
    let inherited = with_mapped(scene(script), &["bind", "idmap"], None);
    assert_eq!(inherited.run().success().stdout, "1:2\n");
    let plain = with_mapped(scene(script), &["bind"], None);
    assert_eq!(plain.run().success().stdout, "65534:65534\n");
}

#[test]
fn maps_that_make_no_sense_are_refused() {
    let refused = |scene: Scene, word: &str| {
        scene.create().failure(word);
        scene.assert_gone();
    };
    let map = json!([{"containerID": 1, "hostID": FIRST, "size": 10}]);
    refused(
        scene("").set("/linux/uidMappings", map.clone()),
        "must map id 0",
    );
    refused(
        scene("").set("/linux/gidMappings", json!([])),
        "must map id 0",
    );
    refused(
        Scene::new("").set("/linux/uidMappings", map),
        "needs a user namespace",
    );
    let twice = json!([
        {"containerID": 0, "hostID": FIRST, "size": 10},
        {"containerID": 5, "hostID": FIRST, "size": 10},
    ]);
    refused(scene("").set("/linux/uidMappings", twice), "uid_map");
    refused(
        with_mapped(Scene::new(""), &["bind", "idmap"], None),
        "must map id 0",
    );
}
