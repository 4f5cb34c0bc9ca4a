//! The suites through the command line: what they list, what they tell, and that they fail
//! on engines that are bad.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "what goes wrong in a test ends it"
)]

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use certify::suite::Event;
use matrix::outcome::{CaseResult, Outcome};
use matrix::results::Selftest;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn seaworthy(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_seaworthy"))
        .args(args)
        .output()
        .expect("seaworthy runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// Keel as cargo built it, beside seaworthy.
fn keel() -> String {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_seaworthy")).with_file_name("keel");
    assert!(
        path.exists(),
        "{} is not there: `cargo build -p keel` makes it",
        path.display()
    );
    path.display().to_string()
}

/// A run of the suite, and the events it told.
struct Run {
    code: Option<i32>,
    events: Vec<Event>,
    stderr: String,
}

impl Run {
    fn of(args: &[&str]) -> Self {
        let output = seaworthy(&[&["suite", "run", "--format", "json"], args].concat());
        let events = stdout(&output)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
            .collect();
        Self {
            code: output.status.code(),
            events,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn cases(&self) -> Vec<&CaseResult> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Case(result) => Some(result),
                Event::Start { .. } | Event::End { .. } => None,
            })
            .collect()
    }

    fn with(&self, outcome: Outcome) -> Vec<String> {
        self.cases()
            .iter()
            .filter(|case| case.outcome == outcome)
            .map(|case| format!("{}: {}", case.id, case.detail))
            .collect()
    }
}

#[test]
fn a_listing_is_one_case_a_line_with_its_requirements() {
    let listed = stdout(&seaworthy(&["suite", "list"]));
    let ids: BTreeSet<&str> = listed
        .lines()
        .map(|line| {
            let (id, requirements) = line.split_once('\t').expect("a tab");
            assert!(id.contains('.') && !requirements.is_empty(), "{line}");
            id
        })
        .collect();
    assert_eq!(ids.len(), listed.lines().count());
    let areas: BTreeSet<&str> = ids.iter().filter_map(|id| id.split('.').next()).collect();
    let promised = [
        "filesystem",
        "images",
        "isolation",
        "kernel",
        "lifecycle",
        "limits",
        "security",
    ];
    assert_eq!(areas, BTreeSet::from(promised));
    assert!(ids.len() >= 60, "{}", ids.len());
}

#[test]
fn a_selection_that_means_nothing_is_wrong_use() {
    for verb in ["list", "run"] {
        let output = seaworthy(&["suite", verb, "--only", "nothing.of-that-name"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("nothing.of-that-name"));
    }
    let output = seaworthy(&["suite", "run", "--sabotage", "nothing-of-that-name"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn an_engine_that_is_not_there_is_never_a_failed_case() {
    let run = Run::of(&["--engine-path", "/nowhere/keel"]);
    assert_eq!((run.code, run.events.len()), (Some(2), 0), "{}", run.stderr);
}

/// An engine that knows of itself, and can do nothing.
fn naysayer(folder: &Path) -> String {
    let program = folder.join("naysayer");
    fs::write(
        &program,
        "#!/bin/sh\ncase \" $* \" in *' info '*) ;; *) exit 1 ;; esac\n",
    )
    .expect("the program is made");
    fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("the program is made");
    program.to_str().expect("the program is made").to_owned()
}

#[test]
fn an_engine_that_does_not_work_here_is_told_once_and_fails_no_case() {
    let run = Run::of(&["--engine-path", "/bin/false"]);
    assert_eq!((run.code, run.events.len()), (Some(3), 0), "{}", run.stderr);
    let expected = "the engine does not work here, so nothing was run: `keel info` failed";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
}

#[test]
fn an_engine_that_says_no_to_everything_passes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run::of(&["--engine-path", &naysayer(folder.path())]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert_eq!(run.with(Outcome::Pass), [""; 0]);
    assert_eq!(run.with(Outcome::Broken), [""; 0]);
}

#[test]
fn an_engine_that_says_yes_to_everything_passes_nothing() {
    let run = Run::of(&["--engine-path", "/bin/true"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert_eq!(run.with(Outcome::Pass), [""; 0]);
    assert_eq!(run.with(Outcome::Broken), [""; 0]);
}

/// A run in `folder` whose engine hangs in its first verb, and that engine's process.
fn hanging_run(folder: &Path) -> (Child, Pid) {
    let program = folder.join("keel");
    let hangs = "#!/bin/sh\ncase \" $* \" in\n*' load '*) echo $$ >\"${0%/*}/hanging\"; exec sleep 1000 ;;\nesac\n";
    fs::write(&program, hangs).expect("the program is made");
    fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("the program is made");
    // Whoever runs the tests may ignore the end of a terminal, and so would the run.
    let run = Command::new("env")
        .arg("--default-signal=HUP")
        .arg(env!("CARGO_BIN_EXE_seaworthy"))
        .env("TMPDIR", folder)
        .args(["suite", "run", "--only", "lifecycle.wait*", "--engine-path"])
        .arg(&program)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("seaworthy runs");
    let deadline = Instant::now() + Duration::from_secs(60);
    let engine = loop {
        let text = fs::read_to_string(folder.join("hanging")).unwrap_or_default();
        if let (Ok(pid), true) = (text.trim().parse(), text.ends_with('\n')) {
            break Pid::from_raw(pid);
        }
        assert!(Instant::now() < deadline, "the engine is not called");
        std::thread::yield_now();
    };
    (run, engine)
}

/// What runs have left in their folder for temporary files.
fn left(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .expect("the folder is there")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("seaworthy"))
        .collect()
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut run, engine) = hanging_run(folder.path());
    run.kill().expect("the run is killed");
    run.wait().expect("the run has ended");
    kill(engine, Signal::SIGKILL).expect("the engine hangs");
    assert_eq!(left(folder.path()).len(), 1, "{:?}", left(folder.path()));
    let next = Command::new(env!("CARGO_BIN_EXE_seaworthy"))
        .env("TMPDIR", folder.path())
        .args(["suite", "run", "--only", "lifecycle.wait*"])
        .args(["--engine-path", "/bin/true"])
        .output()
        .expect("seaworthy runs");
    assert_eq!(next.status.code(), Some(1), "{next:?}");
    assert_eq!(left(folder.path()), [""; 0]);
}

#[test]
fn a_run_whose_terminal_is_closed_ends_cleanly() {
    let folder = tempfile::tempdir().expect("a folder");
    let (run, engine) = hanging_run(folder.path());
    let pid = Pid::from_raw(i32::try_from(run.id()).expect("a process id"));
    kill(pid, Signal::SIGHUP).expect("the run waits for its engine");
    let status = format!("/proc/{pid}/status");
    while !fs::read_to_string(&status).is_ok_and(|text| text.contains("ShdPnd:\t0000000000000000"))
    {
        std::thread::yield_now();
    }
    kill(engine, Signal::SIGKILL).expect("the engine hangs");
    let output = run.wait_with_output().expect("the run has ended");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_eq!(left(folder.path()), [""; 0]);
}

#[test]
fn the_stream_opens_with_the_engine_and_ends_with_the_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run::of(&[
        "--engine-path",
        &naysayer(folder.path()),
        "--only",
        "limits",
    ]);
    let told = run.cases().len();
    assert!(
        matches!(run.events.first(), Some(Event::Start { engine, cases, .. })
            if engine.name == "keel" && engine.sha256.len() == 64 && *cases == told),
        "{:?}",
        run.events.first()
    );
    assert!(
        matches!(run.events.last(), Some(Event::End { counts, .. }) if counts.total() == told),
        "{:?}",
        run.events.last()
    );
}

#[test]
fn an_honest_keel_passes_every_case() {
    let run = Run::of(&["--engine-path", &keel()]);
    assert_eq!(run.with(Outcome::Fail), [""; 0]);
    assert_eq!(run.with(Outcome::Broken), [""; 0]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        matches!(run.events.last(), Some(Event::End { leftovers, .. }) if leftovers.is_empty()),
        "{:?}",
        run.events.last()
    );
}

#[test]
fn every_known_fault_is_caught_and_an_honest_keel_is_not() {
    let output = seaworthy(&["selftest", "--engine-path", &keel(), "--format", "json"]);
    let told = String::from_utf8_lossy(&output.stderr);
    let report: Selftest = serde_json::from_str(&stdout(&output)).expect(&told);
    assert_eq!(report.missed, [""; 0], "{told}");
    assert_eq!((report.good, report.good_failed), (1, 0), "{told}");
    assert_eq!(report.caught, report.known_bad);
    // The least that any machine can show.
    assert!(report.known_bad >= 25, "{told}");
    assert_eq!(output.status.code(), Some(0), "{told}");
}

#[test]
fn a_built_in_fault_stands_in_the_identity() {
    let run = Run::of(&[
        "--engine-path",
        &keel(),
        "--sabotage",
        "drop-read-only",
        "--only",
        "filesystem.read-only-root-is-read-only",
    ]);
    assert!(
        matches!(run.events.first(), Some(Event::Start { engine, .. })
            if engine.name == "keel+drop-read-only"),
        "{:?}",
        run.events.first()
    );
    assert_eq!(run.with(Outcome::Fail).len(), 1);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
}
