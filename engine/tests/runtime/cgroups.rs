//! Limits, counting, freezing, killing; with whichever version of cgroups this machine has.

use std::fs;

use keel::runtime::ExitStatus;
use keel::runtime::cgroup::{Cgroup, Freezer, Mode, detect};
use serde_json::json;

use crate::scene::Scene;

fn folders(path: &str) -> Vec<std::path::PathBuf> {
    let root = std::path::Path::new("/sys/fs/cgroup");
    let entries = fs::read_dir(root)
        .expect("/sys/fs/cgroup must be mounted")
        .flatten();
    let all = entries.map(|entry| entry.path()).chain([root.to_owned()]);
    all.map(|hierarchy| hierarchy.join(path.trim_start_matches('/')))
        .filter(|folder| folder.is_dir())
        .collect()
}

#[test]
fn limits_are_in_the_groups_files_and_the_group_is_gone_afterwards() {
    let scene = Scene::new("echo up; exec sleep 60").in_cgroup().set(
        "/linux/resources",
        json!({"memory": {"limit": 67_108_864}, "pids": {"limit": 20}, "cpu": {"shares": 512, "quota": 50_000, "period": 100_000}}),
    );
    let mut running = scene.start();
    running.line();
    let cgroup = running.process.cgroup().expect("a cgroup");
    assert_eq!(cgroup.pids().expect("a list"), [running.process.pid()]);
    let stats = cgroup.stats().expect("stats");
    assert_eq!(stats.memory_limit_bytes, Some(67_108_864));
    assert_eq!(stats.pids, Some(1));
    let path = cgroup.path().as_str().to_owned();
    let read = |file: &str| {
        folders(&path)
            .iter()
            .find_map(|folder| fs::read_to_string(folder.join(file)).ok())
    };
    assert_eq!(read("pids.max").as_deref(), Some("20\n"));
    let quota = match detect() {
        Mode::V2 => "cpu.max",
        Mode::V1 | Mode::Hybrid => "cpu.cfs_quota_us",
        Mode::Absent => panic!("mount a cgroup hierarchy on /sys/fs/cgroup"),
    };
    assert!(read(quota).is_some_and(|text| text.starts_with("50000")));
    running
        .process
        .kill(nix::sys::signal::Signal::SIGKILL)
        .expect("killed");
    running.finish();
    assert!(folders(&path).is_empty());
}

#[test]
fn a_fork_bomb_stops_at_the_limit() {
    let scene = Scene::new("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2 & done; wait")
        .in_cgroup()
        .set("/linux/resources", json!({"pids": {"limit": 5}}));
    let outcome = scene.run();
    assert!(outcome.output.contains("can't fork"), "{}", outcome.output);
}

#[test]
fn memory_beyond_the_limit_ends_in_an_oom_kill_that_is_counted() {
    let scene = Scene::new("exec dd if=/dev/zero of=/dev/null bs=64M count=1")
        .in_cgroup()
        .set("/linux/resources", json!({"memory": {"limit": 16_777_216}}));
    let running = scene.start();
    let status = running.process.wait().expect("a status");
    let cgroup = running.process.cgroup().expect("a cgroup").clone();
    assert_eq!(status, ExitStatus::Signalled(9));
    assert_eq!(cgroup.oom_kills().expect("a count"), 1);
    cgroup.remove().expect("removed");
}

#[test]
fn a_frozen_group_rests_until_it_is_thawed_and_can_be_killed_whole() {
    let scene = Scene::new("sleep 60 & sleep 60 & echo up; wait").in_cgroup();
    let mut running = scene.start();
    running.line();
    let cgroup =
        Cgroup::open(running.process.cgroup().expect("a cgroup").path()).expect("opened again");
    cgroup.freeze(Freezer::Frozen).expect("frozen");
    cgroup.freeze(Freezer::Thawed).expect("thawed");
    assert_eq!(cgroup.pids().expect("a list").len(), 3);
    cgroup.kill_all().expect("killed");
    assert_eq!(running.finish().status.code(), 137);
}

#[test]
fn limits_of_a_running_container_can_be_raised() {
    let scene = Scene::new("echo up; exec sleep 60").in_cgroup().set(
        "/linux/resources",
        json!({"memory": {"limit": 33_554_432}, "pids": {"limit": 5}}),
    );
    let mut running = scene.start();
    running.line();
    let cgroup = running.process.cgroup().expect("a cgroup");
    let more =
        serde_json::from_value(json!({"memory": {"limit": 67_108_864}, "pids": {"limit": -1}}))
            .expect("resources");
    cgroup.apply(&more).expect("applied");
    assert_eq!(
        cgroup.stats().expect("stats").memory_limit_bytes,
        Some(67_108_864)
    );
}

#[test]
fn a_group_in_use_is_not_taken_over() {
    let scene = Scene::new("echo up; exec sleep 60").in_cgroup();
    let mut running = scene.start();
    running.line();
    let error = scene.refusal();
    assert!(error.to_string().contains("in use"), "{error}");
    assert_eq!(
        running
            .process
            .cgroup()
            .expect("a cgroup")
            .pids()
            .expect("a list")
            .len(),
        1
    );
}

#[test]
fn devices_that_are_not_allowed_cannot_be_opened() {
    let scene = Scene::new("cat /dev/null && echo null; cat /disk")
        .in_cgroup()
        .set(
            "/linux/resources",
            json!({"devices": [{"allow": false, "access": "rwm"}]}),
        )
        .set(
            "/linux/devices",
            json!([{"path": "/disk", "type": "b", "major": 7, "minor": 0, "fileMode": 0o666}]),
        );
    let output = scene.run().output;
    assert!(output.starts_with("null\n"), "{output}");
    assert!(output.contains("Operation not permitted"), "{output}");
}
