//! Namespaces of others, and of time.

use std::fs;

use serde_json::{Value, json};

use crate::scene::Scene;

fn namespace(pid: u32, name: &str) -> String {
    let link = fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
    link.to_str().unwrap().to_owned()
}

/// A container in the namespaces of `other` that are named.
fn beside(other: &Scene, kinds: &[(&str, &str)], script: &str) -> Scene {
    let mut scene = Scene::new(script);
    let pid = other.pid();
    for (kind, file) in kinds {
        let list = scene.spec["linux"]["namespaces"].as_array_mut().unwrap();
        list.retain(|one| one["type"] != *kind);
        list.push(json!({"type": kind, "path": format!("/proc/{pid}/ns/{file}")}));
    }
    scene
}

#[test]
fn namespaces_are_shared_by_their_paths() {
    let first = Scene::new("echo ready; sleep 600");
    first.up();
    let kinds = [
        ("pid", "pid"),
        ("ipc", "ipc"),
        ("uts", "uts"),
        ("network", "net"),
    ];
    let second = beside(&first, &kinds, "echo ready; sleep 600").set("/hostname", json!(""));
    second.up();
    for (_, file) in kinds {
        assert_eq!(
            namespace(second.pid(), file),
            namespace(first.pid(), file),
            "{file}"
        );
    }
    assert_ne!(
        namespace(second.pid(), "mnt"),
        namespace(first.pid(), "mnt")
    );
    // Each sees the other, and the first ends with its namespace.
    let seen = second.call(["exec", "c", "ps"]).success().stdout;
    assert_eq!(seen.matches("sleep 600").count(), 2, "{seen}");
    first.kill();
    second.await_status("stopped");
}

#[test]
fn a_path_to_another_kind_of_namespace_is_refused() {
    for kind in ["pid", "network"] {
        let mut scene = Scene::new("true");
        let list = scene.spec["linux"]["namespaces"].as_array_mut().unwrap();
        list.retain(|one| one["type"] != kind);
        list.push(json!({"type": kind, "path": "/proc/self/ns/uts"}));
        scene
            .create()
            .failure("join the namespace /proc/self/ns/uts");
        scene.assert_gone();
    }
}

fn uptime(text: &str) -> f64 {
    text.split(' ').next().unwrap().trim().parse().unwrap()
}

#[test]
fn clocks_are_offset_for_the_program_and_for_later_ones() {
    let mut scene = Scene::new("cat /proc/uptime; echo ready; sleep 600").set(
        "/linux/timeOffsets",
        json!({"boottime": {"secs": 1_000_000, "nanosecs": 0}}),
    );
    let list = scene.spec["linux"]["namespaces"].as_array_mut().unwrap();
    list.push(json!({"type": "time"}));
    let before = uptime(&fs::read_to_string("/proc/uptime").unwrap());
    scene.up();
    let offset = |text: &str| (uptime(text) - before - 1_000_000.0).abs() < 1_000.0;
    assert!(offset(&scene.out()), "{}", scene.out());
    let later = scene.call(["exec", "c", "cat", "/proc/uptime"]).success();
    assert!(offset(&later.stdout), "{later:#?}");
}

#[test]
fn offsets_without_a_time_namespace_are_refused() {
    let scene = Scene::new("true").set("/linux/timeOffsets", json!({"boottime": {"secs": 1}}));
    scene.create().failure("needs a new time namespace");
    scene.assert_gone();
}

#[test]
fn without_a_mount_namespace_nothing_is_made() {
    let mut scene = Scene::new("true");
    scene.spec["linux"]["namespaces"] = json!([{"type": "pid"}]);
    scene.create().failure("mount namespace");
    scene.assert_gone();
}

/// What is mounted on the host afterwards comes in, or does not, as `rootfsPropagation` says.
#[test]
fn the_roots_propagation_is_as_asked() {
    let kind = |propagation: Value| {
        let scene =
            Scene::new("cat /proc/self/mountinfo").set("/linux/rootfsPropagation", propagation);
        let text = scene.run().success().stdout;
        let root = text
            .lines()
            .find(|line| line.split(' ').nth(4) == Some("/"))
            .unwrap()
            .to_owned();
        let fields = root.split(" - ").next().unwrap();
        let optional: Vec<_> = fields.split(' ').skip(6).map(str::to_owned).collect();
        optional.join(" ")
    };
    assert_eq!(kind(json!("private")), "");
    assert!(kind(json!("shared")).starts_with("shared:"));
    assert_eq!(kind(json!("unbindable")), "unbindable");
}
