//! The main job on a real kernel in a virtual machine, one suite long.
//!
//! Needs QEMU, keel beside seaworthy (`cargo build -p keel`), and either a mirror or the kernel
//! in the cache (`seaworthy image fetch debian-12/6.1/amd64`); without, it fails.

#![allow(
    clippy::unwrap_used,
    reason = "a test that can't set its scene has to fail"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const SEAWORTHY: &str = env!("CARGO_BIN_EXE_seaworthy");

const MATRIX: &str = r#"
    description = "short cells of one kernel"
    suites = ["SUITE"]
    [[group]]
    target = "micro"
    kernels = ["debian-12/6.1"]
    arch = ["amd64"]
    storage = [STORAGE]
    cgroup = ["v2"]
"#;

const POLICY: &str = r#"
    description = "one suite"
    suites = ["SUITE"]
    min_pass_share = 1.0
    flaky = "tolerate"
    cells = { required = "*", unsupported = "refuse", left_out = "refuse" }
    skips = { allowed = ["*"] }
"#;

/// The command that runs one suite on these storage drivers, with all its files in `dir`.
fn certify(dir: &Path, suite: &str, storage: &str) -> Command {
    let keel = Path::new(SEAWORTHY).with_file_name("keel");
    assert!(
        keel.exists(),
        "{} is not there: `cargo build -p keel`",
        keel.display()
    );
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        let text = text.replace("SUITE", suite).replace("STORAGE", storage);
        fs::write(&path, text).unwrap();
        path
    };
    let mut command = Command::new(SEAWORTHY);
    command
        .arg("certify")
        .arg("--matrix")
        .arg(file("matrix.toml", MATRIX))
        .arg("--policy")
        .arg(file("policy.toml", POLICY))
        .arg("--engine-path")
        .arg(&keel)
        .arg("--out")
        .arg(dir.join("run"))
        .args(["--ephemeral-key", "--accelerator", "tcg"])
        .stdin(Stdio::null());
    command
}

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
fn keel_is_certified_from_a_snapshot_even_if_the_first_machine_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let mut child = certify(dir.path(), "kernel", r#""overlay", "vfs""#)
        // So that one machine runs at a time, and the one that is killed is the first.
        .args(["--jobs", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The harness tells when the machine is ready, after it is in the journal.
    let mut told = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    while !told.contains(" ready in ") && stderr.read_line(&mut told).unwrap() > 0 {}
    let machines = machines_of(child.id());
    assert!(!machines.is_empty(), "{told}");
    for machine in machines {
        kill(machine, Signal::SIGKILL).unwrap();
    }
    stderr.read_to_string(&mut told).unwrap();
    let status = child.wait().unwrap();

    assert_eq!(status.code(), Some(0), "{told}");
    let journal = fs::read_to_string(run.join("journal.ndjson")).unwrap();
    assert!(
        journal.contains("\"event\":\"broken\",\"kind\":\"qemu-ended\""),
        "{journal}"
    );
    // Machines of both cells go on from a snapshot, the one that takes over does not.
    let booted = |attempt: u32, how: &str| {
        let event = format!("\"attempt\":{attempt},\"event\":\"booted\"");
        let lines = journal.lines().filter(|line| line.contains(&event));
        lines.filter(|line| line.contains(how)).count()
    };
    let restored = "\"restored\":true";
    assert_eq!((booted(1, restored), booted(1, "")), (2, 2), "{journal}");
    assert_eq!((booted(2, restored), booted(2, "")), (0, 1), "{journal}");
    let facts = fs::read_to_string(run.join("run.json")).unwrap();
    assert!(
        facts.contains("\"qemu\": \"QEMU emulator version "),
        "{facts}"
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

#[test]
fn a_sabotaged_keel_is_refused_in_its_cell_by_the_case_that_must_catch_it() {
    let dir = tempfile::tempdir().unwrap();
    let output = certify(dir.path(), "limits", r#""overlay""#)
        .args(["--sabotage", "drop-pids-limit"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.starts_with("not-certified ")
            && told.contains(
                "known fault `drop-pids-limit` was caught by `limits.pids-stop-a-fork-bomb`"
            ),
        "{told}"
    );
}
