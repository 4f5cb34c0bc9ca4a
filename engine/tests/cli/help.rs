//! Help and errors, as people see them.

use std::process::Command;

use insta::assert_snapshot;

pub(super) fn keel(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_keel"))
        .args(args)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn help(verb: &str) -> String {
    let (code, text) = keel(&[verb, "--help"]);
    assert_eq!(code, Some(0), "{text}");
    text
}

#[test]
fn the_program_explains_itself() {
    assert_snapshot!("keel", keel(&["--help"]).1);
}

#[test]
fn every_verb_explains_itself_and_gives_examples() {
    for verb in [
        "run", "create", "start", "attach", "exec", "ps", "logs", "events", "inspect", "diff",
        "kill", "stop", "restart", "pause", "unpause", "wait", "top", "stats", "port", "update",
        "rename", "rm", "info", "version", "tag", "history", "cp", "export", "commit", "runtime",
        "save", "pull", "push", "login", "logout", "search", "build",
    ] {
        let help = help(verb);
        assert!(help.contains("Example"), "{verb}: {help}");
        assert_snapshot!(verb, help);
    }
}

#[test]
fn wrong_values_are_refused_with_what_would_be_right() {
    let refusal = |args: &[&str]| {
        let (code, text) = keel(&[&["run"], args, &["image"]].concat());
        assert_eq!(code, Some(125), "{text}");
        text.lines().next().unwrap().to_owned()
    };
    let refusals = [
        &["--memory", "lots"][..],
        &["--cpus", "0"],
        &["--network", "bridge"],
        &["--security-opt", "apparmor=x"],
        &["--ulimit", "nofile=9:1"],
        &["--volume", "a b:/data"],
        &["--mount", "type=bind,target=/data"],
        &["--tmpfs", "/tmp:color=red"],
        &["--name", "a/b"],
        &["--stop-signal", "NOPE"],
        &["--cap-add", "NOPE"],
    ];
    assert_snapshot!("refusals", refusals.map(refusal).join("\n"));
}

#[test]
fn a_container_that_is_not_there_is_named_with_a_remedy() {
    let root = tempfile::tempdir().unwrap();
    let (code, text) = keel(&["--root", root.path().to_str().unwrap(), "stop", "web"]);
    assert_eq!(code, Some(1));
    assert_snapshot!(text, @"keel: no container is called `web` or has an id that starts so; `keel ps -a` lists them all");
}

#[test]
fn the_version_is_told_without_a_root_folder() {
    let (code, text) = keel(&["--root", "/nonexistent", "version", "--format", "json"]);
    assert_eq!(code, Some(0));
    let version: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(version["Client"]["Version"], env!("CARGO_PKG_VERSION"));
}
