//! Health checks.

use serde_json::{Value, json};

use super::Keel;
use super::keel::IMAGE;

/// Starts one that is well while `/sick` is absent, and is looked at often.
fn start(keel: &Keel, flags: &[&str]) {
    let check = [
        "--health-cmd",
        "echo looked; ! [ -e /sick ]",
        "--health-interval",
        "20ms",
        "--health-retries",
        "2",
    ];
    keel.start_idle("web", &[&check, flags].concat());
}

fn health(keel: &Keel) -> Value {
    keel.inspect("web")["State"]["Health"].clone()
}

fn await_status(keel: &Keel, wanted: &str) -> Value {
    loop {
        let health = health(keel);
        if health["Status"] == wanted {
            return health;
        }
        std::thread::yield_now();
    }
}

#[test]
fn looks_tell_whether_a_container_is_well() {
    let keel = Keel::new();
    start(&keel, &[]);
    let well = await_status(&keel, "healthy");
    assert_eq!(well["FailingStreak"], 0);
    assert_eq!(well["Log"][0]["ExitCode"], 0);
    assert_eq!(well["Log"][0]["Output"], "looked\n");
    let shown = |filter: &str| {
        let filter = format!("health={filter}");
        let args = [
            "ps",
            "--filter",
            &filter,
            "--format",
            "{{.Names}} {{.Status}}",
        ];
        keel.call(args).success()
    };
    assert!(
        shown("healthy").ends_with(" (healthy)\n"),
        "{}",
        shown("healthy")
    );
    assert_eq!(shown("none"), "");
    keel.call(["exec", "web", "touch", "/sick"]).success();
    let sick = await_status(&keel, "unhealthy");
    assert!(sick["FailingStreak"].as_u64().unwrap() >= 2, "{sick}");
    assert!(sick["Log"].as_array().unwrap().len() <= 5);
    keel.call(["exec", "web", "rm", "/sick"]).success();
    await_status(&keel, "healthy");
    let events = ["events", "--since", "1h", "--until", "0s"];
    let events = events
        .into_iter()
        .chain(["--filter", "event=health_status"]);
    let told = keel
        .call(events.chain(["--format", "{{.Action}}"]))
        .success();
    assert_eq!(
        told,
        "health_status: healthy\nhealth_status: unhealthy\nhealth_status: healthy\n"
    );
    // Looks end with the container, and leave nothing that holds it.
    keel.call(["stop", "web"]).success();
    keel.call(["rm", "web"]).success();
    assert_eq!(keel.containers_left().len(), 0);
}

#[test]
fn a_look_that_takes_too_long_or_cannot_be_run_is_a_failure() {
    let keel = Keel::new();
    let flags = ["--health-interval", "20ms", "--health-retries", "1"];
    let slow = ["--health-cmd", "sleep 1000", "--health-timeout", "50ms"];
    keel.start_idle("web", &[&flags[..], &slow].concat());
    let look = await_status(&keel, "unhealthy")["Log"][0].clone();
    assert_eq!(look["ExitCode"], -1);
    assert_eq!(look["Output"], "Health check exceeded timeout (50ms)");
    keel.call(["rm", "-f", "web"]).success();
    keel.start_idle("web", &[&flags[..], &["--health-cmd", "nonsense"]].concat());
    let look = await_status(&keel, "unhealthy")["Log"][0].clone();
    assert_eq!(look["ExitCode"], 127);
}

#[test]
fn while_it_starts_failures_do_not_count() {
    let keel = Keel::new();
    let starting = [
        "--health-start-period",
        "1h",
        "--health-start-interval",
        "20ms",
    ];
    keel.start_idle(
        "web",
        &[&starting[..], &["--health-cmd", "[ -e /well ]"]].concat(),
    );
    loop {
        let health = health(&keel);
        assert_eq!(health["Status"], "starting");
        assert_eq!(health["FailingStreak"], 0);
        if health["Log"]
            .as_array()
            .is_some_and(|looks| looks.len() == 5)
        {
            break;
        }
    }
    let shown = keel.call(["ps", "--format", "{{.Status}}"]).success();
    assert!(shown.ends_with(" (health: starting)\n"), "{shown}");
    keel.call(["exec", "web", "touch", "/well"]).success();
    await_status(&keel, "healthy");
}

#[test]
fn nobody_looks_at_a_container_that_has_no_check_or_wants_none() {
    let keel = Keel::new();
    keel.start_idle("web", &["--no-healthcheck"]);
    let all = keel.inspect("web");
    assert_eq!(all["State"].get("Health"), None);
    assert_eq!(all["Config"]["Healthcheck"], json!({"Test": ["NONE"]}));
    let refusal = keel
        .call([
            "run",
            "--no-healthcheck",
            "--health-cmd",
            "true",
            IMAGE,
            "true",
        ])
        .failure(125);
    assert!(refusal.contains("--no-healthcheck"), "{refusal}");
    let refusal = keel
        .call(["run", "--health-interval", "5", IMAGE, "true"])
        .failure(125);
    assert!(refusal.contains("`30s`"), "{refusal}");
}

#[test]
fn a_container_in_the_foreground_is_looked_at_too() {
    let keel = Keel::new();
    let script = "while ! [ -e /looked ]; do sleep 0.01; done; exit 6";
    let flags = ["--health-cmd", "touch /looked", "--health-interval", "20ms"];
    assert_eq!(keel.sh(&flags, script).code, Some(6));
    assert_eq!(keel.containers_left().len(), 0);
}
