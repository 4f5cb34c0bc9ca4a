//! `keel events`.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use super::Keel;
use super::keel::IMAGE;

/// What the journal has of a container, under a template.
fn told(keel: &Keel, container: &str, template: &str) -> Vec<String> {
    let filter = format!("container={container}");
    let args = [
        "events", "--since", "1h", "--until", "0s", "--filter", &filter,
    ];
    let format = ["--format", template];
    let said = keel.call(args.into_iter().chain(format)).success();
    said.lines().map(str::to_owned).collect()
}

#[test]
fn a_life_is_told_from_beginning_to_end() {
    let keel = Keel::new();
    keel.start_idle("web", &["--label", "tier=front"]);
    keel.call(["pause", "web"]).success();
    keel.call(["unpause", "web"]).success();
    keel.call(["exec", "web", "true"]).success();
    keel.call(["rename", "web", "old"]).success();
    keel.call(["stop", "old"]).success();
    let id = keel.inspect("old")["Id"].as_str().unwrap().to_owned();
    keel.call(["rm", "old"]).success();
    let expected = [
        "create",
        "start",
        "pause",
        "unpause",
        "exec_create: true",
        "exec_start: true",
        "exec_die",
        "rename",
        "kill",
        "die",
        "stop",
        "destroy",
    ];
    assert_eq!(told(&keel, &id, "{{.Action}}"), expected);
    let all = told(&keel, &id, "json");
    let event = |action: &str| -> Value {
        let events = all
            .iter()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut found = events.filter(|event| event["Action"] == action);
        found.next().unwrap()
    };
    let attributes = |action: &str| event(action)["Actor"]["Attributes"].clone();
    assert_eq!(attributes("die")["exitCode"], "0");
    assert_eq!(attributes("kill")["signal"], "15");
    assert_eq!(attributes("rename")["oldName"], "/web");
    assert_eq!(attributes("start")["tier"], "front");
    assert_eq!(attributes("exec_die")["exitCode"], "0");
    assert_eq!(event("create")["Type"], "container");
    assert_eq!(event("create")["from"], IMAGE);
}

#[test]
fn events_are_followed_as_they_happen() {
    let keel = Keel::new();
    let mut child = keel
        .command([
            "events",
            "--filter",
            "event=die",
            "--filter",
            "type=container",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    // Until it listens, another one ends.
    let line = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            line
        });
        while !reader.is_finished() {
            keel.sh(&["--name", "job"], "exit 3").failure(3);
        }
        reader.join().unwrap()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.contains(" container die "), "{line}");
    assert!(
        line.contains("exitCode=3, image=small, name=job)"),
        "{line}"
    );
}

#[test]
fn images_are_told_too_and_old_events_are_only_shown_when_asked_for() {
    let keel = Keel::new();
    keel.call(["rmi", IMAGE]).success();
    let images = ["events", "--until", "0s", "--filter", "type=image"];
    let format = ["--format", "{{.Action}} {{.Actor.Attributes.name}}"];
    let all = images.into_iter().chain(format).chain(["--since", "1h"]);
    let said = keel.call(all).success();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..2], ["import small:latest", "untag small:latest"]);
    assert!(lines[2].starts_with("delete sha256:"), "{said}");
    assert_eq!(keel.call(images).success(), "");
}
