//! Making, starting, pausing, renaming and changing containers.

use insta::assert_snapshot;
use serde_json::json;

use super::Keel;
use super::keel::{IMAGE, status_of};

/// Ends at once when it is asked to, and says `ready` before.
const IDLE: &str = "trap 'exit 0' TERM; echo ready; while :; do sleep 1000 & wait; done";

fn state(keel: &Keel, container: &str) -> String {
    let state = &keel.inspect(container)["State"];
    format!(
        "{} {}",
        state["Status"].as_str().unwrap(),
        state["ExitCode"]
    )
}

#[test]
fn what_was_made_runs_when_it_is_started() {
    let keel = Keel::new();
    let made = keel.call([
        "create",
        "--name",
        "job",
        "-e",
        "A=b",
        IMAGE,
        "sh",
        "-c",
        "echo $A >>/said; cat /said; exit 3",
    ]);
    let id = made.success();
    assert_eq!(id.trim_end().len(), 64);
    assert_eq!(state(&keel, "job"), "created 0");
    assert_eq!(keel.call(["ps", "-q"]).success(), "");
    assert_eq!(keel.call(["start", "job"]).success(), "job\n");
    assert_eq!(keel.call(["wait", "job"]).success(), "3\n");
    // Started again it goes on with its own files and its own log.
    keel.call(["start", &id[..12]]).success();
    assert_eq!(keel.call(["wait", "job"]).success(), "3\n");
    assert_eq!(keel.call(["logs", "job"]).stdout, "b\nb\nb\n");
}

#[test]
fn starting_what_runs_changes_nothing() {
    let keel = Keel::new();
    keel.start_idle("web", &[]);
    let pid = keel.pid("web");
    assert_eq!(keel.call(["start", "web"]).success(), "web\n");
    assert_eq!(keel.pid("web"), pid);
}

#[test]
fn a_container_that_cannot_start_says_why_and_stays_as_it_was() {
    let keel = Keel::new();
    keel.call(["create", "--name", "job", IMAGE, "/no/such/program"])
        .success();
    let refusal = keel.call(["start", "job"]).failure(1);
    assert!(refusal.contains("/no/such/program"), "{refusal}");
    assert_eq!(state(&keel, "job"), "created 127");
    let error = keel.inspect("job")["State"]["Error"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(error.contains("/no/such/program"), "{error}");
}

#[test]
fn one_that_removes_itself_is_gone_after_its_start() {
    let keel = Keel::new();
    keel.call(["create", "--rm", "--name", "job", IMAGE, "sleep", "0.2"])
        .success();
    keel.call(["start", "job"]).success();
    keel.call(["wait", "job"]);
    assert_eq!(
        keel.containers_left(),
        [""; 0].map(std::path::PathBuf::from)
    );
}

#[test]
fn restart_ends_it_and_starts_it_anew() {
    let keel = Keel::new();
    keel.start("web", &[], IDLE);
    let before = keel.pid("web");
    assert_eq!(keel.call(["restart", "web"]).success(), "web\n");
    assert_ne!(keel.pid("web"), before);
    keel.call(["stop", "web"]).success();
    keel.call(["restart", "web"]).success();
    assert_eq!(state(&keel, "web"), "running 0");
}

#[test]
fn a_paused_container_stands_still_and_goes_on() {
    let keel = Keel::new();
    keel.start("web", &[], "echo ready; while :; do echo x >>/ticks; done");
    let ticks = || {
        let root = format!("/proc/{}/root/ticks", keel.pid("web"));
        std::fs::metadata(root).map_or(0, |found| found.len())
    };
    assert_eq!(keel.call(["pause", "web"]).success(), "web\n");
    assert_eq!(state(&keel, "web"), "paused 0");
    let shown = keel
        .call(["ps", "--format", "{{.State}} {{.Status}}"])
        .success();
    assert!(
        shown.starts_with("paused Up ") && shown.ends_with(" (Paused)\n"),
        "{shown}"
    );
    let stood = ticks();
    assert_eq!(ticks(), stood);
    assert_snapshot!(keel.call(["pause", "web"]).failure(1), @"keel: container `web` is paused; let it go on first, with `keel unpause web`");
    assert_snapshot!(keel.call(["exec", "web", "true"]).failure(1), @"keel: container `web` is paused; let it go on first, with `keel unpause web`");
    keel.call(["unpause", "web"]).success();
    while ticks() == stood {
        std::thread::yield_now();
    }
    assert_snapshot!(keel.call(["unpause", "web"]).failure(1), @"keel: container `web` is not paused; `keel ps` shows what it is doing");
}

#[test]
fn a_paused_container_can_be_stopped_and_killed() {
    let keel = Keel::new();
    for (name, verb) in [("one", "stop"), ("two", "kill")] {
        keel.start("web", &[], IDLE);
        keel.call(["pause", "web"]).success();
        keel.call([verb, "web"]).success();
        keel.call(["wait", "web"]).success();
        keel.call(["rename", "web", name]).success();
    }
    assert_eq!(
        (state(&keel, "one"), state(&keel, "two")),
        ("exited 0".into(), "exited 137".into())
    );
    keel.start("web", &[], IDLE);
    keel.call(["pause", "web"]).success();
    keel.call(["rm", "-f", "web"]).success();
}

#[test]
fn a_renamed_container_is_the_same_whatever_it_is_doing() {
    let keel = Keel::new();
    let id = keel.start(
        "web",
        &[],
        "trap 'echo bye; exit 4' TERM; echo ready; while :; do sleep 1000 & wait; done",
    );
    assert_eq!(keel.call(["rename", "web", "old"]).success(), "");
    assert_eq!(keel.inspect("old")["Id"], json!(id));
    assert!(keel.call(["inspect", "web"]).failure(1).contains("`web`"));
    assert_eq!(
        keel.call(["exec", "old", "echo", "here"]).success(),
        "here\n"
    );
    // Who runs it knew it under its old name, and records its end all the same.
    keel.call(["stop", "old"]).success();
    assert_eq!(state(&keel, "old"), "exited 4");
    assert_eq!(keel.call(["logs", "old"]).stdout, "ready\nbye\n");
    // The name is free, and the renamed one has kept its files.
    keel.start("web", &[], IDLE);
    keel.call(["start", "old"]).success();
    assert_eq!(state(&keel, "old"), "running 0");
    let taken = keel.call(["rename", "old", "web"]).failure(1);
    assert!(taken.contains("`web` is in use"), "{taken}");
    keel.call(["rm", "-f", "old", "web"]).success();
    assert_eq!(
        keel.containers_left(),
        [""; 0].map(std::path::PathBuf::from)
    );
}

#[test]
fn one_that_removes_itself_is_gone_under_its_new_name_too() {
    let keel = Keel::new();
    keel.start("web", &["--rm"], IDLE);
    keel.call(["rename", "web", "old"]).success();
    keel.call(["stop", "old"]).success();
    assert_eq!(
        keel.containers_left(),
        [""; 0].map(std::path::PathBuf::from)
    );
}

#[test]
fn limits_change_at_once_and_for_later_starts() {
    let keel = Keel::new();
    keel.start("web", &["--memory", "64m"], IDLE);
    let limit = |container: &str| {
        let text = keel.call([
            "stats",
            "--no-stream",
            "--format",
            "{{.MemUsage}}",
            container,
        ]);
        text.success()
            .trim_end()
            .rsplit_once(" / ")
            .unwrap()
            .1
            .to_owned()
    };
    assert_eq!(limit("web"), "64.00MiB");
    keel.call(["update", "--memory", "128m", "--pids-limit", "33", "web"])
        .success();
    assert_eq!(limit("web"), "128.0MiB");
    keel.call(["restart", "web"]).success();
    assert_eq!(limit("web"), "128.0MiB");
    assert_eq!(keel.inspect("web")["HostConfig"]["PidsLimit"], json!(33));
    let refusal = keel
        .call(["update", "--cpus", "0.0001", "web"])
        .failure(125);
    assert!(
        refusal.contains("less than the kernel can enforce"),
        "{refusal}"
    );
}

#[test]
fn top_shows_processes_with_their_ids_on_the_host() {
    let keel = Keel::new();
    keel.start("web", &["--user", "33"], "echo ready; sleep 1000; true");
    let shown = keel.call(["top", "web"]).success();
    let mut lines = shown.lines();
    let heading: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(heading.join(" "), "UID PID PPID C STIME TTY TIME CMD");
    let first: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    let pid = keel.pid("web");
    assert_eq!(
        (first[1], first[2]),
        (&*pid.to_string(), &*status_of(pid, "PPid"))
    );
    assert!(lines.next().unwrap().ends_with("sleep 1000"), "{shown}");
    let by_ps = keel.call(["top", "web", "-o", "pid,comm"]).success();
    assert_eq!(by_ps.lines().count(), 3, "{by_ps}");
    assert!(by_ps.contains(&pid.to_string()), "{by_ps}");
    keel.call(["stop", "-t", "0", "web"]).success();
    assert!(keel.call(["top", "web"]).failure(1).contains("not running"));
}

#[test]
fn a_container_without_a_network_has_no_ports() {
    let keel = Keel::new();
    keel.call(["create", "--name", "web", IMAGE, "true"])
        .success();
    assert_eq!(keel.call(["port", "web"]).success(), "");
    assert_snapshot!(keel.call(["port", "web", "80/tcp"]).failure(1), @"keel: container `web` publishes no port `80/tcp`");
}

#[test]
fn stats_count_what_is_used() {
    let keel = Keel::new();
    keel.start(
        "busy",
        &["--memory", "64m"],
        "echo ready; while :; do :; done",
    );
    let shown = keel.call(["stats", "--no-stream", "busy"]).success();
    assert!(shown.starts_with("CONTAINER ID   NAME   CPU %"), "{shown}");
    let row: serde_json::Value = serde_json::from_str(
        &keel
            .call(["stats", "--no-stream", "--format", "json"])
            .success(),
    )
    .unwrap();
    assert_eq!((&row["Name"], &row["PIDs"]), (&json!("busy"), &json!("1")));
    let percent = |field: &str| -> f64 {
        let text = row[field].as_str().unwrap();
        text.trim_end_matches('%').parse().unwrap()
    };
    // It takes all that it gets; a loaded machine does not give it much.
    assert!(percent("CPUPerc") > 1.0, "{row}");
    assert!(
        percent("MemPerc") > 0.0 && percent("MemPerc") < 100.0,
        "{row}"
    );
    keel.call(["create", "--name", "idle", IMAGE, "true"])
        .success();
    let all = keel.call([
        "stats",
        "-a",
        "--no-stream",
        "--format",
        "{{.Name}} {{.CPUPerc}}",
        "idle",
    ]);
    assert_eq!(all.success(), "idle --\n");
}
