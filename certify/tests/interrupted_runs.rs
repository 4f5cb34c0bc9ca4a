//! Runs that end before their time: the real program, killed or interrupted, and resumed.
//!
//! What runs on the machine is played by a script, so that a case can hang for as long as the
//! test wants.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't set its scene has to fail"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const SEAWORTHY: &str = env!("CARGO_BIN_EXE_seaworthy");

/// A folder with a matrix of one host cell, a scripted `seaworthy` and an engine that only
/// knows its version.
struct Scene {
    dir: tempfile::TempDir,
    cases: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let list = Command::new(SEAWORTHY)
            .args(["suite", "list", "--only", "kernel"])
            .output()
            .unwrap();
        let cases: Vec<String> = String::from_utf8(list.stdout)
            .unwrap()
            .lines()
            .filter_map(|line| line.split('\t').next().map(str::to_owned))
            .collect();
        assert!(cases.len() >= 3, "{cases:?}");
        let scene = Self {
            dir: tempfile::tempdir().unwrap(),
            cases,
        };
        scene.program("seaworthy", include_str!("scripts/seaworthy.sh"));
        scene.program("keel", "#!/bin/sh\necho keel 1.2.3\n");
        scene.write(
            "check.json",
            r#"{"verdict":"supported","requirements":[],"missing":[]}"#,
        );
        scene.write(
            "matrix.toml",
            "description = \"one cell\"\nsuites = [\"kernel\"]\n[[group]]\ntarget = \"host\"\nstorage = [\"vfs\"]\n",
        );
        scene.write(
            "policy.toml",
            "description = \"one suite\"\nsuites = [\"kernel\"]\nmin_pass_share = 1.0\nflaky = \"refuse\"\n\
             cells = { required = \"*\", unsupported = \"refuse\", left_out = \"refuse\" }\n\
             skips = { allowed = [] }\n",
        );
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn program(&self, name: &str, text: &str) {
        self.write(name, text);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Every case passes, but for those with these numbers.
    fn outcomes(&self, but: &[(usize, &str)]) {
        let lines = self.cases.iter().enumerate().map(|(at, id)| {
            let other = but.iter().find(|(number, _)| *number == at);
            let outcome = other.map_or("pass", |(_, outcome)| outcome);
            format!("{id} {outcome}\n")
        });
        self.write("cases", &lines.collect::<String>());
    }

    fn certify(&self, more: &[&str]) -> Command {
        let mut command = Command::new(SEAWORTHY);
        command
            .arg("certify")
            .arg("--matrix")
            .arg(self.path("matrix.toml"))
            .arg("--policy")
            .arg(self.path("policy.toml"))
            .arg("--engine-path")
            .arg(self.path("keel"))
            .arg("--seaworthy-path")
            .arg(self.path("seaworthy"))
            .arg("--engine-root")
            .arg(self.dir.path())
            .arg("--out")
            .arg(self.path("run"))
            .arg("--key")
            .arg(self.path("key.pem"))
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts a run whose third case hangs, and gives it back when two cases are done.
    fn run_until_it_hangs(&self) -> Child {
        self.run_until_one_hangs(&[(2, "hang")])
    }

    fn run_until_one_hangs(&self, outcomes: &[(usize, &str)]) -> Child {
        self.outcomes(outcomes);
        let child = self.certify(&[]).spawn().unwrap();
        until("two cases are done and the third hangs", || {
            self.journal().matches("\"event\":\"case\"").count() == 2
                && self.path("hanging").exists()
        });
        child
    }

    fn journal(&self) -> String {
        fs::read_to_string(self.path("run/journal.ndjson")).unwrap_or_default()
    }

    /// The process of the script that hangs.
    fn hanging(&self) -> Pid {
        let pid = fs::read_to_string(self.path("hanging")).unwrap();
        Pid::from_raw(pid.trim().parse().unwrap())
    }

    /// Goes on with the run, in which nothing hangs any more, and checks that nothing was done
    /// a second time.
    fn resumes_and_repeats_nothing(&self) {
        self.outcomes(&[]);
        let resumed = self.certify(&["--resume"]).output().unwrap();
        assert_eq!(resumed.status.code(), Some(0), "{}", told(&resumed));
        for case in &self.cases {
            let times = self
                .journal()
                .matches(&format!("\"id\":\"{case}\""))
                .count();
            assert_eq!(times, 1, "{case}");
        }
        let calls = fs::read_to_string(self.path("calls")).unwrap();
        let calls: Vec<&str> = calls.lines().collect();
        assert_eq!(calls[0], "vfs kernel");
        assert_eq!(calls[1], format!("vfs {}", self.cases[2..].join(",")));
        let verified = Command::new(SEAWORTHY)
            .arg("verify")
            .arg(self.path("run/certificate.dsse.json"))
            .arg("--key")
            .arg(self.path("key.pub.pem"))
            .output()
            .unwrap();
        assert_eq!(verified.status.code(), Some(0), "{}", told(&verified));
    }
}

/// Waits for what must happen soon.
fn until(what: &str, mut happens: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !happens() {
        assert!(Instant::now() < deadline, "{what}: it does not happen");
        std::thread::yield_now();
    }
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}", text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_killed_run_goes_on_and_repeats_no_finished_case() {
    let scene = Scene::new();
    let mut child = scene.run_until_it_hangs();
    child.kill().unwrap();
    child.wait().unwrap();
    until("what ran on the machine is gone", || {
        kill(scene.hanging(), None).is_err()
    });
    // The kill may have come in the middle of a line.
    fs::write(
        scene.path("run/journal.ndjson"),
        scene.journal() + "{\"seq\":99,\"at_ms\":1,\"cell\":\"deb",
    )
    .unwrap();
    scene.resumes_and_repeats_nothing();
}

#[test]
fn an_interrupted_run_ends_cleanly_and_goes_on() {
    let scene = Scene::new();
    let child = scene.run_until_it_hangs();
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", told(&output));
    assert!(
        told(&output).contains("`--resume` goes on"),
        "{}",
        told(&output)
    );
    assert!(!scene.path("run/certificate.dsse.json").exists());
    let results = fs::read_to_string(scene.path("run/results.json")).unwrap();
    assert!(results.contains("\"verdict\": \"not-tested\""), "{results}");
    assert!(scene.path("run/report/index.html").exists());
    until("what ran on the machine is gone", || {
        kill(scene.hanging(), None).is_err()
    });
    scene.resumes_and_repeats_nothing();
}

#[test]
fn a_failure_before_an_interruption_is_no_answer() {
    let scene = Scene::new();
    let child = scene.run_until_one_hangs(&[(0, "fail"), (2, "hang")]);
    let seaworthy = Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(seaworthy, Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", told(&output));
    until("what ran on the machine is gone", || {
        kill(scene.hanging(), None).is_err()
    });
    // Nobody saw it fail twice on that machine, and on the next it passes.
    scene.outcomes(&[]);
    let resumed = scene.certify(&["--resume"]).output().unwrap();
    assert_eq!(resumed.status.code(), Some(0), "{}", told(&resumed));
    let results = fs::read_to_string(scene.path("run/results.json")).unwrap();
    assert!(
        results.contains("failed on machine 1, which ended before"),
        "{results}"
    );
}

#[test]
fn a_run_with_another_engine_is_not_gone_on_with() {
    let scene = Scene::new();
    let mut child = scene.run_until_it_hangs();
    child.kill().unwrap();
    child.wait().unwrap();
    scene.program("keel", "#!/bin/sh\necho keel 1.2.4\n");
    let output = scene.certify(&["--resume"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(
        told(&output).contains("has another engine (keel 1.2.3"),
        "{}",
        told(&output)
    );
}

#[test]
fn a_run_without_cells_is_refused_with_a_remedy() {
    let scene = Scene::new();
    let output = scene.certify(&["--skip", "storage=vfs"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(
        told(&output).contains("`seaworthy plan`"),
        "{}",
        told(&output)
    );
}

#[test]
fn the_folder_that_the_user_is_in_is_not_moved_away_under_them() {
    let scene = Scene::new();
    scene.outcomes(&[]);
    fs::create_dir(scene.path("run")).unwrap();
    let again = || {
        let mut command = scene.certify(&[]);
        let args: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
        let run = scene.path("run").into_os_string();
        let args = args
            .into_iter()
            .map(|arg| if arg == run { ".".into() } else { arg });
        command = Command::new(SEAWORTHY);
        command.args(args).current_dir(scene.path("run"));
        command.output().unwrap()
    };
    let first = again();
    assert_eq!(first.status.code(), Some(0), "{}", told(&first));
    let second = again();
    assert_eq!(second.status.code(), Some(2), "{}", told(&second));
    assert!(
        told(&second).contains("give another `--out`"),
        "{}",
        told(&second)
    );
    assert!(scene.path("run/certificate.dsse.json").exists());
}
