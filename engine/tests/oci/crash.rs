//! What is true after the runtime was killed.

use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::scene::{Scene, wait_for};

/// Killed in the middle of `create`, which a hook holds up: nothing runs, and the id can be freed.
#[test]
fn a_creator_that_is_killed_leaves_a_stopped_container() {
    let scene = Scene::new("echo ran");
    let mark = scene.path("mark");
    let script = format!("echo $$ > {}; exec sleep 600", mark.display());
    let scene = scene.set(
        "/hooks/createRuntime",
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}]),
    );
    let mut creator = scene
        .command(["create", "c"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the hook", || {
        std::fs::read_to_string(&mark).is_ok_and(|text| text.ends_with('\n'))
    });
    assert_eq!(scene.status(), "creating");
    scene.leave(["create", "c"]).failure("exists");
    creator.kill().unwrap();
    creator.wait().unwrap();
    let hook = std::fs::read_to_string(&mark).unwrap();
    kill(Pid::from_raw(hook.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    scene.await_status("stopped");
    wait_for("an empty group", || {
        scene
            .group_file(&["cgroup.procs"])
            .is_none_or(|list| list.trim().is_empty())
    });
    scene.call(["delete", "c"]).success();
    scene.assert_gone();
    assert_eq!(scene.out(), "");
}

/// Killed while its program runs: the container goes on, and everybody sees it.
#[test]
fn a_container_outlives_the_runtime_that_runs_it() {
    let scene = Scene::new("echo ready; sleep 600");
    let out = std::fs::File::create(scene.path("out")).unwrap();
    let mut runner = scene.command(["run", "c"]).stdout(out).spawn().unwrap();
    wait_for("ready", || scene.out() == "ready\n");
    runner.kill().unwrap();
    runner.wait().unwrap();
    assert_eq!(scene.status(), "running");
    scene.kill();
    scene.call(["delete", "c"]).success();
    scene.assert_gone();
}

/// A process id that was given to another process meanwhile, or in another boot.
#[test]
fn a_recycled_process_id_is_nobodys_container() {
    let scene = Scene::new("echo ready; sleep 600");
    scene.up();
    let path = scene.root().join("c/state.json");
    let kept = std::fs::read_to_string(&path).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&kept).unwrap();
    record["process"]["boot_id"] = json!("another");
    std::fs::write(&path, record.to_string()).unwrap();
    assert_eq!(scene.status(), "stopped");
    scene
        .call(["kill", "c", "KILL"])
        .failure("which is stopped");
    std::fs::write(&path, kept).unwrap();
    assert_eq!(scene.status(), "running");
}
