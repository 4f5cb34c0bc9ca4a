//! Filters of bundles: every action, and agents that are asked.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use crate::console::receive;
use crate::scene::{Scene, wait_for};

/// A profile in which making folders is answered by `action`.
fn profile(action: &str, members: &Value) -> Value {
    let mut profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_NATIVE"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": action}],
    });
    let members = members.as_object().unwrap().clone();
    profile.as_object_mut().unwrap().extend(members);
    profile
}

#[test]
fn each_action_does_what_it_says() {
    let run = |action: &str, more: Value| {
        let mut profile = profile(action, &json!({}));
        let rule = profile["syscalls"][0].as_object_mut().unwrap();
        rule.extend(more.as_object().unwrap().clone());
        let scene = Scene::new("mkdir /made 2>&1; echo $?").set("/linux/seccomp", profile);
        scene.run().success().stdout
    };
    assert_eq!(run("SCMP_ACT_ALLOW", json!({})), "0\n");
    assert_eq!(run("SCMP_ACT_LOG", json!({})), "0\n");
    let refused = run("SCMP_ACT_ERRNO", json!({"errnoRet": 28}));
    assert!(refused.contains("No space left"), "{refused}");
    // Nobody traces: the call is not there.
    let traced = run("SCMP_ACT_TRACE", json!({}));
    assert!(traced.contains("not implemented"), "{traced}");
    for (action, code) in [
        ("SCMP_ACT_KILL", 159),
        ("SCMP_ACT_KILL_THREAD", 159),
        ("SCMP_ACT_KILL_PROCESS", 159),
        ("SCMP_ACT_TRAP", 159),
    ] {
        let killed = run(action, json!({}));
        assert!(killed.ends_with(&format!("{code}\n")), "{action}: {killed}");
    }
}

/// The agent gets the filter's notifications, and what container and process they are about. When
/// it goes away, calls that wait for it fail.
#[test]
fn an_agent_is_asked_about_the_first_process_and_later_ones() {
    for no_new_privileges in [true, false] {
        let scene = Scene::new("echo ready; read line; mkdir /made 2>&1; sleep 600");
        let path = scene.path("agent.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let members = json!({"listenerPath": path, "listenerMetadata": "told"});
        let scene = scene
            .set("/linux/seccomp", profile("SCMP_ACT_NOTIFY", &members))
            .set("/process/noNewPrivileges", json!(no_new_privileges));
        scene.up();
        let asked = |status: &str| {
            let (connection, _) = listener.accept().unwrap();
            let (filter, data) = receive(&connection);
            let link = fs::read_link(format!("/proc/self/fd/{}", filter.as_raw_fd())).unwrap();
            assert_eq!(link.to_str(), Some("anon_inode:seccomp notify"));
            let state: Value = serde_json::from_slice(&data).unwrap();
            assert_eq!(state["fds"], json!(["seccompFd"]));
            assert_eq!(state["metadata"], "told");
            assert_eq!(state["state"]["id"], "c");
            assert_eq!(state["state"]["status"], status);
            (filter, state["pid"].clone())
        };
        let (filter, pid) = asked("created");
        assert_eq!(pid, json!(scene.pid()));
        drop(filter);
        wait_for("the refusal", || scene.out().contains("not implemented"));
        let file = scene.path("pid");
        scene
            .leave([
                "exec",
                "--detach",
                "--pid-file",
                file.to_str().unwrap(),
                "c",
                "mkdir",
                "/later",
            ])
            .success();
        let (_filter, pid) = asked("running");
        assert_eq!(pid.to_string(), fs::read_to_string(file).unwrap());
    }
}

#[test]
fn an_agent_that_is_not_there_ends_the_container() {
    let members = json!({"listenerPath": "/nonexistent/agent"});
    let scene = Scene::new("sleep 600").set("/linux/seccomp", profile("SCMP_ACT_NOTIFY", &members));
    scene.run().failure("/nonexistent/agent");
    scene.assert_gone();
    scene.create().success();
    scene.start().failure("/nonexistent/agent");
    assert_eq!(scene.status(), "stopped");
}

#[test]
fn questions_that_nobody_could_answer_are_refused() {
    let refused = |profile: Value, word: &str| {
        let scene = Scene::new("true").set("/linux/seccomp", profile);
        scene.create().failure(word);
        scene.assert_gone();
    };
    refused(profile("SCMP_ACT_NOTIFY", &json!({})), "listenerPath");
    let members = json!({"listenerPath": "/x", "defaultAction": "SCMP_ACT_NOTIFY"});
    refused(profile("SCMP_ACT_ERRNO", &members), "as the default");
    let mut early = profile("SCMP_ACT_NOTIFY", &json!({"listenerPath": "/x"}));
    early["syscalls"][0]["names"] = json!(["sendmsg"]);
    refused(early, "sendmsg");
}
