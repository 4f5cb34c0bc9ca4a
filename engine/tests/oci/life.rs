//! From `create` to `delete`: what is possible when, and what is left.

use std::process::Command;

use serde_json::json;

use crate::scene::Scene;

const WAITS: &str = "echo ready; exec sleep 600";

#[test]
fn a_container_lives_from_create_to_delete() {
    let scene = Scene::new(WAITS);
    scene.create().success();
    let state = scene.state();
    assert_eq!(state["status"], "created");
    assert_eq!(state["id"], "c");
    assert_eq!(state["ociVersion"], "1.2.0");
    assert_eq!(state["bundle"], json!(scene.path("bundle")));
    assert_eq!(scene.out(), "", "it ran before it was started");
    scene.start().success();
    assert_eq!(scene.status(), "running");
    let pid = scene.pid();
    let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(!command.contains("keel"), "{command}");
    scene.call(["kill", "c", "KILL"]).success();
    scene.await_status("stopped");
    assert!(scene.state().get("pid").is_none());
    scene.call(["delete", "c"]).success();
    scene.assert_gone();
    scene
        .call(["state", "c"])
        .failure("no container has the id c");
}

#[test]
fn what_its_status_does_not_allow_is_refused_and_changes_nothing() {
    let scene = Scene::new(WAITS);
    for verb in ["start", "kill", "delete", "state"] {
        scene.call([verb, "c"]).failure("no container");
    }
    scene.create().success();
    let created = scene.state();
    scene.call(["delete", "c"]).failure("which is created");
    scene.leave(["create", "c"]).failure("exists");
    assert_eq!(scene.state(), created);
    scene.start().success();
    let running = scene.state();
    scene.call(["start", "c"]).failure("which is running");
    scene.call(["delete", "c"]).failure("which is running");
    scene.leave(["create", "c"]).failure("exists");
    assert_eq!(scene.state(), running);
    scene.kill();
    let stopped = scene.state();
    scene.call(["start", "c"]).failure("which is stopped");
    scene
        .call(["kill", "c", "TERM"])
        .failure("which is stopped");
    assert_eq!(scene.state(), stopped);
}

#[test]
fn ids_that_lead_elsewhere_are_refused() {
    let scene = Scene::new(WAITS);
    for id in ["", "/", "..", ".", "a/b", "../c", ".c"] {
        for verb in ["create", "start", "state", "kill", "delete", "run"] {
            let answer = scene.call([verb, id]);
            assert_eq!(answer.code, Some(1), "{verb} {id:?}: {answer:#?}");
            assert!(answer.stderr.contains("no container id"), "{answer:#?}");
        }
    }
    assert!(!scene.root().exists());
}

#[test]
fn a_created_container_can_be_killed_and_never_runs() {
    let scene = Scene::new("echo ran");
    scene.create().success();
    scene.kill();
    scene.call(["delete", "c"]).success();
    assert_eq!(scene.out(), "");
    scene.assert_gone();
}

#[test]
fn delete_by_force_ends_what_runs_and_minds_nothing_that_is_gone() {
    let scene = Scene::new("sleep 600 & echo ready; wait");
    scene.up();
    let pid = scene.pid();
    scene.call(["delete", "--force", "c"]).success();
    scene.assert_gone();
    assert!(!std::path::Path::new(&format!("/proc/{pid}/root/bin")).exists());
    scene.call(["delete", "--force", "c"]).success();
}

/// What shares the host's pid namespace does not end with the first process.
#[test]
fn processes_that_outlive_the_first_one_end_with_the_container() {
    let scene = Scene::new("sleep 600 & echo ready; sleep 600").set(
        "/linux/namespaces",
        json!([{"type": "mount"}, {"type": "ipc"}, {"type": "uts"}]),
    );
    scene.up();
    scene.kill();
    let procs = scene.group_file(&["cgroup.procs"]).unwrap();
    assert!(!procs.trim().is_empty(), "nobody outlived it");
    scene.call(["delete", "c"]).success();
    scene.assert_gone();
}

#[test]
fn kill_sends_the_signal_that_was_asked_for() {
    let script = "trap 'echo hup' HUP; trap 'echo bye; exit 0' TERM; echo ready; \
                  while :; do sleep 0.05; done";
    let scene = Scene::new(script);
    scene.up();
    scene.call(["kill", "c", "SIGHUP"]).success();
    crate::scene::wait_for("hup", || scene.out().contains("hup"));
    scene.call(["kill", "c"]).success();
    scene.await_status("stopped");
    assert!(scene.out().ends_with("bye\n"), "{}", scene.out());
}

#[test]
fn kill_all_reaches_every_process() {
    let script = "sh -c 'trap \"echo child; exit\" USR1; echo ready; while :; do sleep 0.05; done' & \
                  trap : USR1; while :; do wait; done";
    let scene = Scene::new(script);
    scene.up();
    scene.call(["kill", "--all", "c", "USR1"]).success();
    crate::scene::wait_for("the child", || scene.out().contains("child"));
}

#[test]
fn run_gives_the_programs_exit_code_and_leaves_nothing() {
    let scene = Scene::new("echo out; echo err >&2; exit 7");
    let answer = scene.run();
    assert_eq!(
        (answer.code, answer.stdout.as_str(), answer.stderr.as_str()),
        (Some(7), "out\n", "err\n")
    );
    scene.assert_gone();
    let scene = Scene::new("kill -9 $$").set("/linux/namespaces", json!([{"type": "mount"}]));
    let scene = scene.set("/hostname", json!(""));
    assert_eq!(scene.run().code, Some(137));
}

#[test]
fn run_keeps_or_leaves_it_when_told_so() {
    let scene = Scene::new("exit 3");
    assert_eq!(scene.call(["run", "--keep", "c"]).code, Some(3));
    assert_eq!(scene.status(), "stopped");
    scene.call(["delete", "c"]).success();
    let scene = Scene::new(WAITS);
    scene.leave(["run", "--detach", "c"]).success();
    assert_eq!(scene.status(), "running");
}

#[test]
fn a_program_that_cannot_be_executed_is_named_by_start() {
    let scene = Scene::new("").set("/process/args", json!(["/no/such"]));
    scene.create().success();
    scene.start().failure("/no/such");
    assert_eq!(scene.status(), "stopped");
    scene.call(["delete", "c"]).success();
    scene.run().failure("/no/such");
    scene.assert_gone();
}

#[test]
fn what_is_changed_in_the_bundle_after_create_has_no_effect() {
    let scene = Scene::new("echo first");
    scene.create().success();
    let scene = scene.set("/process/args", json!(["echo", "second"]));
    scene.start().success();
    scene.await_status("stopped");
    assert_eq!(scene.out(), "first\n");
}

#[test]
fn without_a_process_it_can_be_created_in_no_way_that_start_could_use() {
    let mut scene = Scene::new("");
    scene.spec.as_object_mut().unwrap().remove("process");
    scene.create().failure("process");
    scene.assert_gone();
}

#[test]
fn the_runtime_is_called_by_a_link_too() {
    let scene = Scene::new("echo hello");
    drop(scene.command(["state", "c"]));
    let link = scene.path("keel-runtime");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_keel"), &link).unwrap();
    let output = Command::new(&link)
        .arg("--root")
        .arg(scene.root())
        .args(["run", "--bundle"])
        .arg(scene.path("bundle"))
        .arg("c")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n");
}

#[test]
fn the_last_line_of_the_log_is_the_error() {
    let scene = Scene::new(WAITS);
    let log = scene.path("log");
    let path = log.to_str().unwrap();
    scene
        .call([
            "--debug",
            "--log",
            path,
            "--log-format",
            "json",
            "start",
            "c",
        ])
        .failure("no container");
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["level"], "debug");
    let last = lines.last().unwrap();
    assert_eq!(last["level"], "error");
    assert!(
        last["msg"]
            .as_str()
            .unwrap()
            .starts_with("no container has the id c")
    );
    assert!(last["time"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn systemd_is_refused_with_what_to_do() {
    Scene::new(WAITS)
        .call(["--systemd-cgroup", "create", "c"])
        .failure("cgroupfs");
}
