//! Stopping, killing, waiting, removing; and what happens when something of ours is killed.

use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::Keel;
use super::keel::{IMAGE, collect, status_of};

fn state(keel: &Keel, container: &str) -> (String, i64) {
    let state = keel.inspect(container)["State"].clone();
    (
        state["Status"].as_str().unwrap().to_owned(),
        state["ExitCode"].as_i64().unwrap(),
    )
}

#[test]
fn stop_asks_and_the_container_may_answer() {
    let keel = Keel::new();
    keel.start(
        "web",
        &[],
        "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 1000 & wait; done",
    );
    assert_eq!(keel.call(["stop", "web"]).success(), "web\n");
    assert_eq!(state(&keel, "web"), ("exited".to_owned(), 3));
    assert_eq!(keel.call(["logs", "web"]).stdout, "ready\nbye\n");
    assert_eq!(keel.call(["stop", "web"]).success(), "web\n");
}

#[test]
fn stop_sends_the_signal_that_was_asked_for() {
    let keel = Keel::new();
    let script = "trap 'exit 4' USR1; echo ready; while :; do sleep 1000 & wait; done";
    keel.start("web", &["--stop-signal", "USR1"], script);
    keel.call(["stop", "web"]).success();
    assert_eq!(state(&keel, "web"), ("exited".to_owned(), 4));
}

#[test]
fn stop_kills_what_does_not_listen() {
    let keel = Keel::new();
    keel.start(
        "web",
        &[],
        "trap '' TERM; echo ready; while :; do sleep 1000 & wait; done",
    );
    keel.call(["stop", "-t", "0", "web"]).success();
    assert_eq!(state(&keel, "web"), ("exited".to_owned(), 137));
}

#[test]
fn kill_sends_any_signal_and_refuses_what_does_not_run() {
    let keel = Keel::new();
    let script = "trap 'echo hup' HUP; echo ready; while :; do sleep 1000 & wait; done";
    keel.start("web", &[], script);
    keel.call(["kill", "-s", "HUP", "web"]).success();
    keel.await_line("web", "hup");
    keel.call(["kill", "web"]).success();
    assert_eq!(keel.call(["wait", "web"]).success(), "137\n");
    let refusal = keel.call(["kill", "web"]).failure(1);
    assert!(refusal.contains("not running"), "{refusal}");
}

#[test]
fn wait_prints_exit_codes_of_what_ends_and_of_what_has_ended() {
    let keel = Keel::new();
    keel.start(
        "job",
        &[],
        "trap 'exit 5' TERM; echo ready; while :; do sleep 1000 & wait; done",
    );
    let waiting = keel
        .command(["wait", "job"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    keel.call(["stop", "job"]).success();
    assert_eq!(collect(waiting), (Some(0), "5\n".to_owned()));
    assert_eq!(keel.call(["wait", "job"]).success(), "5\n");
}

#[test]
fn wait_learns_the_code_of_a_container_that_removes_itself() {
    let keel = Keel::new();
    keel.start(
        "job",
        &["--rm"],
        "trap 'exit 6' TERM; echo ready; while :; do sleep 1000 & wait; done",
    );
    let folder = keel
        .root()
        .join("containers")
        .join(format!("job-{}", &keel.call(["ps", "-q"]).stdout.trim()));
    let waiting = keel
        .command(["wait", "job"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    while !folder.join("exit-code").exists() {
        std::thread::yield_now();
    }
    keel.call(["stop", "job"]).success();
    assert_eq!(collect(waiting), (Some(0), "6\n".to_owned()));
    assert_eq!(
        keel.containers_left(),
        [""; 0].map(std::path::PathBuf::from)
    );
}

#[test]
fn what_runs_is_removed_by_force_only() {
    let keel = Keel::new();
    keel.start_idle("web", &[]);
    let refusal = keel.call(["rm", "web"]).failure(1);
    assert!(refusal.contains("keel rm -f web"), "{refusal}");
    let process = keel.pid("web");
    keel.call(["rm", "-f", "web"]).success();
    assert!(std::fs::metadata(format!("/proc/{process}")).is_err());
    assert_eq!(
        keel.containers_left(),
        [""; 0].map(std::path::PathBuf::from)
    );
    assert!(keel.call(["rm", "web"]).failure(1).contains("`web`"));
}

#[test]
fn a_name_belongs_to_one_container_and_ids_may_be_cut_short() {
    let keel = Keel::new();
    let id = keel
        .call(["run", "-d", "--name", "web", IMAGE, "true"])
        .success();
    let refusal = keel
        .call(["run", "--name", "web", IMAGE, "true"])
        .failure(125);
    assert!(refusal.contains("`web` is in use"), "{refusal}");
    for length in [4, 12, 30, 64] {
        assert_eq!(keel.inspect(&id[..length])["Name"], json!("/web"));
    }
    let refusal = keel.call(["inspect", &"0".repeat(65)]).failure(1);
    assert!(refusal.contains("keel ps -a"), "{refusal}");
}

#[test]
fn a_container_outlives_its_killed_monitor_and_its_end_is_noticed() {
    let keel = Keel::new();
    keel.start_idle("web", &[]);
    let process = keel.pid("web");
    let monitor: i32 = status_of(process, "PPid").parse().unwrap();
    kill(Pid::from_raw(monitor), Signal::SIGKILL).unwrap();
    assert_eq!(state(&keel, "web").0, "running");
    assert_eq!(
        keel.call(["exec", "web", "echo", "still here"]).success(),
        "still here\n"
    );
    keel.call(["stop", "-t", "0", "web"]).success();
    assert_eq!(state(&keel, "web"), ("exited".to_owned(), 255));
    let error = keel.inspect("web")["State"]["Error"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(error.contains("not known"), "{error}");
    keel.call(["rm", "web"]).success();
    assert_eq!(
        keel.containers_left(),
        [""; 0].map(std::path::PathBuf::from)
    );
}

#[test]
fn a_container_whose_process_and_monitor_are_killed_is_not_said_to_run() {
    let keel = Keel::new();
    keel.start_idle("web", &["--rm"]);
    let process = keel.pid("web");
    let monitor: i32 = status_of(process, "PPid").parse().unwrap();
    kill(Pid::from_raw(monitor), Signal::SIGKILL).unwrap();
    kill(Pid::from_raw(process.cast_signed()), Signal::SIGKILL).unwrap();
    while std::fs::metadata(format!("/proc/{process}")).is_ok() {
        std::thread::yield_now();
    }
    assert_eq!(keel.call(["ps", "-aq"]).success(), "");
    assert_eq!(
        keel.containers_left(),
        [""; 0].map(std::path::PathBuf::from)
    );
}

#[test]
fn a_container_that_ran_before_the_machine_restarted_has_ended() {
    let keel = Keel::new();
    keel.start_idle("web", &[]);
    let process = keel.pid("web");
    let monitor: i32 = status_of(process, "PPid").parse().unwrap();
    kill(Pid::from_raw(monitor), Signal::SIGKILL).unwrap();
    // What another boot would have left: the same files, with another boot's id.
    let file = keel.root().join(format!(
        "containers/web-{}/state.json",
        keel.call(["ps", "-q"]).stdout.trim()
    ));
    let text = std::fs::read_to_string(&file).unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    std::fs::write(
        &file,
        text.replace(boot.trim(), "11111111-0000-0000-0000-000000000000"),
    )
    .unwrap();
    kill(Pid::from_raw(process.cast_signed()), Signal::SIGKILL).unwrap();
    while std::fs::metadata(format!("/proc/{process}")).is_ok() {
        std::thread::yield_now();
    }
    assert_eq!(state(&keel, "web"), ("exited".to_owned(), 255));
}

#[test]
fn a_monitor_is_small_and_away_from_every_terminal() {
    let keel = Keel::new();
    keel.start_idle("web", &[]);
    let monitor: u32 = status_of(keel.pid("web"), "PPid").parse().unwrap();
    assert_eq!(status_of(monitor, "Threads"), "1");
    let session = std::fs::read_to_string(format!("/proc/{monitor}/stat")).unwrap();
    let session: Vec<&str> = session
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    assert_eq!(session[3], monitor.to_string(), "session");
    assert_eq!(session[4], "0", "terminal");
    // Its own memory; what it shares with other keels in the page cache costs nothing more.
    let own: u64 = status_of(monitor, "RssAnon")
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    assert!(own <= 512, "{own} kB");
}

#[test]
fn following_a_log_ends_when_the_container_does() {
    let keel = Keel::new();
    keel.start(
        "web",
        &[],
        "trap 'echo last; exit' TERM; echo ready; while :; do sleep 1000 & wait; done",
    );
    let follower = keel
        .command(["logs", "-f", "web"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    keel.call(["stop", "web"]).success();
    assert_eq!(collect(follower), (Some(0), "ready\nlast\n".to_owned()));
}

#[test]
fn the_last_lines_of_a_log_can_be_had_alone() {
    let keel = Keel::new();
    keel.call([
        "run",
        "--name",
        "job",
        IMAGE,
        "sh",
        "-c",
        "echo 1; echo 2; echo 3",
    ])
    .success();
    assert_eq!(keel.call(["logs", "--tail", "2", "job"]).stdout, "2\n3\n");
}

#[test]
fn the_log_of_a_container_that_keeps_none_is_refused() {
    let keel = Keel::new();
    let child = keel
        .command([
            "run",
            "--rm",
            "-i",
            "--name",
            "job",
            IMAGE,
            "sh",
            "-c",
            "echo ready; read x",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    while !keel
        .call(["ps", "--format", "{{.Names}}"])
        .stdout
        .contains("job")
    {
        std::thread::yield_now();
    }
    let refusal = keel.call(["logs", "job"]).failure(1);
    assert!(refusal.contains("keeps no log"), "{refusal}");
    let mut child = child;
    drop(child.stdin.take());
    collect(child);
}

#[test]
fn state_is_files_that_a_person_can_read() {
    let keel = Keel::new();
    let id = keel.start_idle("web", &["--label", "a=b"]);
    let folder = keel
        .root()
        .join("containers")
        .join(format!("web-{}", &id[..12]));
    let read = |file: &str| -> serde_json::Value {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        assert!(
            text.lines().count() > 3,
            "one line is not for people: {text}"
        );
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(read("config.json")["process"]["labels"], json!({"a": "b"}));
    assert_eq!(read("state.json")["status"], json!("running"));
}
