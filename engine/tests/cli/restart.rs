//! Restart policies.

use insta::assert_snapshot;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::Keel;
use super::keel::{IMAGE, status_of};

/// Says `run N` with one more each time, and ends with 3 until that is 3.
const THREE_TIMES: &str = "echo x >>/runs; n=$(grep -c x /runs); echo run $n; [ $n -lt 3 ] && exit 3; \
                           trap 'exit 0' TERM; while :; do sleep 1000 & wait; done";

fn run(keel: &Keel, policy: &str, script: &str) {
    let flags = ["run", "-d", "--name", "job", "--restart", policy];
    keel.call(flags.into_iter().chain([IMAGE, "sh", "-c", script]))
        .success();
}

fn status(keel: &Keel) -> String {
    let all = keel.inspect("job");
    let state = &all["State"];
    let (status, code) = (state["Status"].as_str().unwrap(), &state["ExitCode"]);
    format!("{status} {code} {}", all["RestartCount"])
}

#[test]
fn a_container_is_started_again_by_its_monitor_with_its_files() {
    let keel = Keel::new();
    run(&keel, "always", THREE_TIMES);
    let monitor = |keel: &Keel| status_of(keel.pid("job"), "PPid");
    keel.await_line("job", "run 3");
    assert_eq!(status(&keel), "running 0 2");
    let parent = monitor(&keel);
    assert_eq!(status_of(parent.parse().unwrap(), "Threads"), "1");
    // Whoever attaches finds the new process.
    let attached = keel.command(["attach", "job"]).spawn().unwrap();
    keel.call(["stop", "job"]).success();
    assert_eq!(super::keel::collect(attached).0, Some(0));
    assert_eq!(status(&keel), "exited 0 2");
    while std::fs::metadata(format!("/proc/{parent}")).is_ok() {
        std::thread::yield_now();
    }
    // A start by hand begins anew.
    keel.call(["start", "job"]).success();
    assert_eq!(status(&keel), "running 0 0");
}

#[test]
fn failures_are_followed_by_so_many_starts() {
    let keel = Keel::new();
    run(&keel, "on-failure:2", "echo x; exit 5");
    assert_eq!(keel.call(["wait", "job"]).success(), "5\n");
    assert_eq!(status(&keel), "exited 5 2");
    assert_eq!(keel.call(["logs", "job"]).stdout, "x\nx\nx\n");
    let policy = &keel.inspect("job")["HostConfig"]["RestartPolicy"];
    assert_eq!(
        policy,
        &json!({"Name": "on-failure", "MaximumRetryCount": 2})
    );
    keel.call(["rm", "job"]).success();
    run(&keel, "on-failure", "exit 0");
    assert_eq!(keel.call(["wait", "job"]).success(), "0\n");
    assert_eq!(status(&keel), "exited 0 0");
}

/// Waits until it is between two runs.
fn await_restarting(keel: &Keel) {
    while !status(keel).starts_with("restarting") {
        std::thread::yield_now();
    }
}

#[test]
fn one_that_waits_to_be_started_again_can_be_stopped_and_removed() {
    let keel = Keel::new();
    run(&keel, "always", "exit 6");
    await_restarting(&keel);
    let shown = keel
        .call([
            "ps",
            "--filter",
            "status=restarting",
            "--format",
            "{{.Status}}",
        ])
        .success();
    assert!(
        shown.is_empty() || shown.starts_with("Restarting (6) "),
        "{shown}"
    );
    keel.call(["stop", "job"]).success();
    assert!(status(&keel).starts_with("exited 6 "), "{}", status(&keel));
    keel.call(["start", "job"]).success();
    await_restarting(&keel);
    let refusal = keel.call(["rm", "job"]).failure(1);
    assert!(refusal.contains("keel rm -f job"), "{refusal}");
    keel.call(["rm", "-f", "job"]).success();
    assert_eq!(keel.containers_left().len(), 0);
}

#[test]
fn killing_it_ends_it_and_another_signal_does_not() {
    let keel = Keel::new();
    let script = "trap 'exit 8' HUP; echo ready $$; while :; do sleep 1000 & wait; done";
    run(&keel, "always", script);
    let pid = |restarts: &str| {
        while status(&keel) != format!("running 0 {restarts}") {
            std::thread::yield_now();
        }
        keel.await_line("job", "ready 1");
    };
    pid("0");
    keel.call(["kill", "-s", "HUP", "job"]).success();
    pid("1");
    keel.call(["kill", "job"]).success();
    assert_eq!(keel.call(["wait", "job"]).success(), "137\n");
    assert_eq!(status(&keel), "exited 137 1");
}

#[test]
fn restart_policies_are_changed_while_it_runs() {
    let keel = Keel::new();
    run(
        &keel,
        "always",
        "trap 'exit 4' HUP; echo ready; while :; do sleep 1000 & wait; done",
    );
    keel.await_line("job", "ready");
    keel.call(["update", "--restart", "no", "job"]).success();
    keel.call(["kill", "-s", "HUP", "job"]).success();
    assert_eq!(keel.call(["wait", "job"]).success(), "4\n");
    assert_eq!(status(&keel), "exited 4 0");
}

#[test]
fn one_that_cannot_start_again_says_why() {
    let keel = Keel::new();
    run(&keel, "always", "rm /bin/sh; exit 1");
    assert_eq!(keel.call(["wait", "job"]).success(), "127\n");
    let error = keel.inspect("job")["State"]["Error"].to_string();
    assert!(error.contains("sh"), "{error}");
}

#[test]
fn a_killed_monitor_leaves_no_container_that_is_said_to_be_about_to_start() {
    let keel = Keel::new();
    run(&keel, "always", "exit 6");
    await_restarting(&keel);
    // The one that holds the lock of the container's folder.
    let folder = super::keel::list(&keel.root().join("containers"))
        .into_iter()
        .find(|path| path.is_dir())
        .unwrap();
    let monitor = processes_of(&folder);
    for pid in monitor {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        while std::fs::metadata(format!("/proc/{pid}")).is_ok() {
            std::thread::yield_now();
        }
    }
    let end = status(&keel);
    assert!(end.starts_with("exited "), "{end}");
}

/// Monitors are called with the container's folder.
fn processes_of(folder: &std::path::Path) -> Vec<i32> {
    let all = super::keel::list(std::path::Path::new("/proc")).into_iter();
    all.filter_map(|path| {
        let pid = path.file_name()?.to_str()?.parse().ok()?;
        let line = std::fs::read(path.join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        (line.contains("monitor-") && line.contains(folder.to_str()?)).then_some(pid)
    })
    .collect()
}

#[test]
fn after_a_reboot_what_is_promised_starts() {
    let keel = Keel::new();
    let idle = "trap 'exit 0' TERM; echo ready; while :; do sleep 1000 & wait; done";
    for (name, policy) in [
        ("plain", "no"),
        ("failing", "on-failure"),
        ("always", "always"),
        ("stopped", "unless-stopped"),
        ("unless", "unless-stopped"),
        ("always-stopped", "always"),
    ] {
        keel.start(name, &["--restart", policy], idle);
    }
    keel.call([
        "create",
        "--name",
        "never",
        "--restart",
        "always",
        IMAGE,
        "true",
    ])
    .success();
    keel.call(["stop", "stopped", "always-stopped"]).success();
    // What a reboot does to the others.
    for name in ["plain", "failing", "always", "unless"] {
        let process = keel.pid(name);
        for pid in [status_of(process, "PPid").parse().unwrap(), process] {
            kill(Pid::from_raw(u32::cast_signed(pid)), Signal::SIGKILL).unwrap();
            while std::fs::metadata(format!("/proc/{pid}")).is_ok() {
                std::thread::yield_now();
            }
        }
    }
    assert_snapshot!(keel.call(["system", "start"]).success(), @r"
    always
    unless
    always-stopped
    ");
    assert_eq!(keel.call(["system", "start"]).success(), "");
    let running = keel.call(["ps", "--format", "{{.Names}}"]).success();
    assert_eq!(running.lines().count(), 3, "{running}");
}

#[test]
fn a_policy_and_removal_at_the_end_contradict_each_other() {
    let keel = Keel::new();
    let refusal = keel
        .call(["run", "--rm", "--restart", "always", IMAGE, "true"])
        .failure(125);
    assert!(refusal.contains("--restart"), "{refusal}");
    let refusal = keel
        .call(["run", "--restart", "often", IMAGE, "true"])
        .failure(125);
    assert!(refusal.contains("on-failure:3"), "{refusal}");
}
