//! The main job on a real kernel in a virtual machine, one suite long.
//!
//! Needs QEMU, keel beside seaworthy (`cargo build -p keel`), and either a mirror or the kernel
//! in the cache (`seaworthy image fetch debian-12/6.1/amd64`); without, it fails.

#![allow(
    clippy::unwrap_used,
    reason = "a test that can't set its scene has to fail"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const SEAWORTHY: &str = env!("CARGO_BIN_EXE_seaworthy");

const MATRIX: &str = r#"
    description = "one short cell"
    suites = ["kernel"]
    [[group]]
    target = "micro"
    kernels = ["debian-12/6.1"]
    arch = ["amd64"]
    storage = ["overlay"]
    cgroup = ["v2"]
"#;

const POLICY: &str = r#"
    description = "one suite"
    suites = ["kernel"]
    min_pass_share = 1.0
    flaky = "tolerate"
    cells = { required = "*", unsupported = "refuse", left_out = "refuse" }
    skips = { allowed = ["*"] }
"#;

/// The QEMU processes that `parent` started.
fn machines_of(parent: u32) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).unwrap();
    let children =
        threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let children: String = children.collect();
    children
        .split_whitespace()
        .filter(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            name.starts_with("qemu")
        })
        .map(|pid| Pid::from_raw(pid.parse().unwrap()))
        .collect()
}

#[test]
fn keel_is_certified_on_a_real_kernel_even_if_the_first_machine_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let keel = Path::new(SEAWORTHY).with_file_name("keel");
    assert!(
        keel.exists(),
        "{} is not there: `cargo build -p keel`",
        keel.display()
    );
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let run = dir.path().join("run");
    let child = Command::new(SEAWORTHY)
        .arg("certify")
        .arg("--matrix")
        .arg(file("matrix.toml", MATRIX))
        .arg("--policy")
        .arg(file("policy.toml", POLICY))
        .arg("--engine-path")
        .arg(&keel)
        .arg("--out")
        .arg(&run)
        .args(["--ephemeral-key", "--accelerator", "tcg"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let journal = || fs::read_to_string(run.join("journal.ndjson")).unwrap_or_default();

    let deadline = Instant::now() + Duration::from_secs(600);
    while !journal().contains("\"event\":\"checked\"") && Instant::now() < deadline {
        std::thread::yield_now();
    }
    for machine in machines_of(child.id()) {
        kill(machine, Signal::SIGKILL).unwrap();
    }
    let output = child.wait_with_output().unwrap();

    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    let journal = journal();
    assert!(
        journal.contains("\"event\":\"broken\",\"kind\":\"qemu-ended\""),
        "{journal}"
    );
    assert!(
        journal.contains("\"attempt\":2,\"event\":\"booted\""),
        "{journal}"
    );
    let certificate = run.join("certificate.dsse.json");
    let verified = Command::new(SEAWORTHY)
        .arg("verify")
        .arg(&certificate)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert_eq!(verified.status.code(), Some(0), "{told}");
    assert!(told.starts_with("valid: certified;"), "{told}");
}
