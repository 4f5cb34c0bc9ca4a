//! The process: status, identity, privileges, limits, terminal, init.

use std::fs;
use std::io::Read;

use keel::runtime::{Console, ExitStatus, Init};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::scene::{Scene, chain};

#[test]
fn exit_codes_and_signals_come_through() {
    assert_eq!(Scene::new("exit 7").run().status, ExitStatus::Exited(7));
    let mut running = Scene::new("echo up; exec sleep 60").start();
    running.line();
    running.process.kill(Signal::SIGKILL).expect("killed");
    assert_eq!(running.finish().status.code(), 137);
}

#[test]
fn a_program_that_is_missing_is_127_and_one_that_cannot_run_126() {
    let missing = Scene::new("")
        .set("/process/args", json!(["/no/such"]))
        .refusal();
    assert_eq!(missing.exit_code(), 127, "{}", chain(&missing));
    let scene = Scene::new("").set("/process/args", json!(["/text"]));
    fs::write(scene.rootfs().join("text"), "no program").expect("a file");
    let text = scene.refusal();
    assert_eq!(text.exit_code(), 126, "{}", chain(&text));
    insta::assert_snapshot!(chain(&text), @r#"cannot run "/text" in the container: Permission denied (os error 13)"#);
}

#[test]
fn a_bare_name_is_found_along_path() {
    let scene = Scene::new("")
        .set("/process/args", json!(["true"]))
        .set("/process/env", json!(["PATH=/nowhere:/bin"]));
    assert_eq!(scene.run().status, ExitStatus::Exited(0));
}

#[test]
fn capabilities_are_exactly_those_of_the_spec() {
    let mut running = Scene::new("echo up; exec sleep 60").start();
    running.line();
    let status = running.proc_text("status");
    let set = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect(name)
            .trim()
            .to_owned()
    };
    for name in ["CapPrm:", "CapEff:", "CapBnd:"] {
        // The fourteen of Docker.
        assert_eq!(set(name), "00000000a80425fb", "{name}");
    }
    for name in ["CapInh:", "CapAmb:"] {
        assert_eq!(set(name), "0000000000000000", "{name}");
    }
    assert_eq!(set("NoNewPrivs:"), "1");
}

#[test]
fn a_user_has_its_ids_groups_umask_and_no_capabilities() {
    let scene = Scene::new("id -u; id -g; id -G; touch /dev/shm/f; stat -c %a /dev/shm/f; grep CapEff /proc/self/status")
        .set("/process/user", json!({"uid": 1234, "gid": 567, "additionalGids": [10, 20], "umask": 0o077}));
    assert_eq!(
        scene.output(),
        "1234\n567\n567 10 20\n600\nCapEff:\t0000000000000000\n"
    );
}

#[test]
fn limits_are_set_and_raising_one_says_what_it_needs() {
    let scene = Scene::new("grep 'open files' /proc/self/limits");
    let output = scene
        .set(
            "/process/rlimits",
            json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]),
        )
        .output();
    assert!(output.contains("100                  200"), "{output}");
}

#[test]
fn the_oom_score_is_set() {
    assert_eq!(
        Scene::new("cat /proc/self/oom_score_adj")
            .set("/process/oomScoreAdj", json!(321))
            .output(),
        "321\n"
    );
}

#[test]
fn no_descriptor_of_the_engine_is_left_open() {
    // Not close-on-exec, as a careless library would leave it.
    let leak = fs::File::open("/etc").expect("a folder");
    nix::fcntl::fcntl(
        &leak,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
    )
    .expect("a flag");
    let mut running = Scene::new("echo up; exec sleep 60").start();
    running.line();
    let mut open: Vec<_> = fs::read_dir(running.proc("fd"))
        .expect("fds")
        .map(|fd| fd.expect("fd").file_name())
        .collect();
    open.sort();
    assert_eq!(open, ["0", "1", "2"]);
}

#[test]
fn the_working_folder_is_made_when_the_image_has_none() {
    assert_eq!(
        Scene::new("pwd")
            .set("/process/cwd", json!("/a/new/place"))
            .output(),
        "/a/new/place\n"
    );
}

#[test]
fn the_default_filter_is_on_and_a_shell_still_works() {
    let scene = Scene::new("grep Seccomp: /proc/self/status; mount -t tmpfs x /dev/shm 2>&1; true")
        .with_default_seccomp();
    let output = scene.output();
    assert!(output.starts_with("Seccomp:\t2\n"), "{output}");
    assert!(
        output.contains("Operation not permitted") || output.contains("permission denied"),
        "{output}"
    );
}

#[test]
fn without_no_new_privs_the_filter_is_loaded_too() {
    let scene =
        Scene::new("grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status").with_default_seccomp();
    let output = scene.set("/process/noNewPrivileges", json!(false)).output();
    assert_eq!(output, "NoNewPrivs:\t0\nSeccomp:\t2\n");
}

#[test]
fn a_terminal_is_the_containers_own() {
    let scene = Scene::new("tty; readlink /proc/self/fd/0; cat /proc/self/stat");
    let mut running = scene
        .start_on(Console::Pty {
            size: Some((24, 80)),
        })
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    let mut console = fs::File::from(running.process.take_console().expect("a terminal"));
    let mut text = Vec::new();
    // The kernel says EIO when the other side is gone.
    drop(console.read_to_end(&mut text));
    let text = String::from_utf8(text).expect("text");
    assert!(text.starts_with("/dev/pts/0\r\n/dev/pts/0\r\n"), "{text}");
    assert!(running.finish().output.is_empty());
}

#[test]
fn a_small_init_reaps_orphans_and_passes_signals_on() {
    let mut scene = Scene::new(
        "trap 'echo got; exit 5' TERM; (sleep 0.01 & ) ; readlink /proc/1/exe >/dev/null; cat /proc/1/comm; echo up; while :; do sleep 0.05; done",
    );
    scene.init = Init::Yes;
    let mut running = scene.start();
    running.line();
    assert_eq!(running.line(), "up");
    running.process.kill(Signal::SIGTERM).expect("sent");
    let outcome = running.finish();
    assert_eq!(outcome.output, "got\n");
    assert_eq!(outcome.status, ExitStatus::Exited(5));
}

#[test]
fn a_missing_program_is_127_under_the_small_init_too() {
    let mut scene = Scene::new("").set("/process/args", json!(["/no/such"]));
    scene.init = Init::Yes;
    assert_eq!(scene.refusal().exit_code(), 127);
}
