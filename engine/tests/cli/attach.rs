//! Attaching to containers, and leaving them.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};

use insta::assert_snapshot;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use serde_json::json;

use super::Keel;
use super::keel::{IMAGE, collect, status_of};
use super::terminal::{read_until, terminal};

/// A call with pipes for all streams.
fn piped(keel: &Keel, args: &[&str]) -> Child {
    keel.command(args.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A call at a terminal, and the terminal.
fn at_terminal(keel: &Keel, args: &[&str]) -> (Child, File, std::os::fd::OwnedFd) {
    let (master, slave) = terminal();
    let stream = || Stdio::from(slave.try_clone().unwrap());
    let child = keel
        .command(args.iter().copied())
        .stdin(stream())
        .stdout(stream())
        .stderr(stream())
        .spawn()
        .unwrap();
    (child, master, slave)
}

/// Reads lines until this one.
fn await_line(child: &mut Child, wanted: &str) -> BufReader<std::process::ChildStdout> {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while line.trim_end() != wanted {
        line.clear();
        assert_ne!(
            lines.read_line(&mut line).unwrap(),
            0,
            "never said {wanted}"
        );
    }
    lines
}

fn running(keel: &Keel, container: &str) -> bool {
    keel.inspect(container)["State"]["Running"] == json!(true)
}

#[test]
fn whoever_attaches_types_into_it_and_hears_it_and_has_its_exit_code() {
    let keel = Keel::new();
    let script = "echo ready; read x; echo got $x; echo aside >&2; exit 7";
    keel.start("job", &["-i"], script);
    let mut child = piped(&keel, &["attach", "job"]);
    child.stdin.take().unwrap().write_all(b"this\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"got this\n");
    assert_eq!(output.stderr, b"aside\n");
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(keel.call(["logs", "job"]).stdout, "ready\ngot this\n");
}

#[test]
fn several_may_be_attached_and_one_that_leaves_ends_nothing() {
    let keel = Keel::new();
    let script = "echo ready; while read x; do echo got $x; done";
    keel.start("shell", &["-i"], script);
    let mut one = piped(&keel, &["attach", "shell"]);
    let mut two = piped(&keel, &["attach", "--no-stdin", "shell"]);
    let mut typed = one.stdin.take().unwrap();
    // Who is attached hears it; until `two` is, it is said again.
    let mut heard = BufReader::new(two.stdout.take().unwrap());
    let mut lines = BufReader::new(one.stdout.take().unwrap());
    let mut line = String::new();
    let said = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let mut said = String::new();
            heard.read_line(&mut said).unwrap();
            said
        });
        while !other.is_finished() {
            typed.write_all(b"1\n").unwrap();
            line.clear();
            lines.read_line(&mut line).unwrap();
        }
        other.join().unwrap()
    });
    assert_eq!((said.as_str(), line.as_str()), ("got 1\n", "got 1\n"));
    // The end of standard input of one is not that of the container.
    drop(typed);
    one.kill().unwrap();
    one.wait().unwrap();
    assert!(running(&keel, "shell"));
    keel.call(["kill", "shell"]).success();
    assert_eq!(two.wait().unwrap().code(), Some(137));
}

#[test]
fn nothing_is_lost_of_much_output_nor_of_much_input() {
    let keel = Keel::new();
    keel.call(["create", "-i", "--name", "job", IMAGE, "cat"])
        .success();
    let mut child = piped(&keel, &["start", "-ai", "job"]);
    let sent: Vec<u8> = (0..3_000_000_u32)
        .map(|n| b"0123456789abcdef\n"[(n % 17) as usize])
        .collect();
    let mut stdin = child.stdin.take().unwrap();
    let copy = sent.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&copy).unwrap());
    let mut heard = Vec::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut heard)
        .unwrap();
    writer.join().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(heard == sent, "{} of {}", heard.len(), sent.len());
}

#[test]
fn detach_keys_leave_a_shell_running_and_attaching_finds_it_again() {
    let keel = Keel::new();
    let run = ["run", "-it", "--name", "shell", IMAGE, "sh", "-c"];
    let script = "echo ready; while read x; do echo got:$x; stty size; done";
    let (mut child, mut master, slave) = at_terminal(&keel, &[&run[..], &[script]].concat());
    read_until(&mut master, "ready");
    master.write_all(b"one\n").unwrap();
    let said = read_until(&mut master, "33 77");
    assert!(said.contains("got:one"), "{said}");
    master.write_all(b"\x10\x11").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let modes = tcgetattr(&slave).unwrap().local_flags;
    assert!(modes.contains(LocalFlags::ICANON), "was not restored");
    assert!(running(&keel, "shell"));

    let attach = ["attach", "--detach-keys", "ctrl-a,x", "shell"];
    let (mut child, mut master, _slave) = at_terminal(&keel, &attach);
    // What is no detaching any more reaches the shell.
    master.write_all(b"two\n").unwrap();
    read_until(&mut master, "got:two");
    master.write_all(b"\x01x").unwrap();
    read_until(&mut master, "read escape sequence");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(running(&keel, "shell"));
}

#[test]
fn the_size_of_the_terminal_is_followed() {
    let keel = Keel::new();
    let script = "trap 'stty size; echo changed' WINCH; echo ready; while :; do sleep 0.01; done";
    keel.start("shell", &["-it"], script);
    let (mut child, mut master, slave) = at_terminal(&keel, &["attach", "shell"]);
    read_until(&mut master, "33 77");
    resize(&slave, 11, 22);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGWINCH).unwrap();
    read_until(&mut master, "11 22");
    keel.call(["kill", "shell"]).success();
    assert_eq!(child.wait().unwrap().code(), Some(137));
}

#[test]
fn signals_go_to_the_container_unless_they_are_to_stay() {
    let keel = Keel::new();
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 1000 & wait; done";
    keel.start("web", &[], script);
    let stays = piped(&keel, &["attach", "--sig-proxy=false", "web"]);
    let goes = piped(&keel, &["attach", "web"]);
    let term = |child: &Child| {
        // It holds signals back before it connects, and takes part when it has a socket.
        let pid = child.id();
        while !has_socket(pid) {
            std::thread::yield_now();
        }
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM).unwrap();
    };
    term(&stays);
    assert_eq!(collect(stays).0, Some(143));
    assert!(running(&keel, "web"));
    term(&goes);
    assert_eq!(collect(goes).0, Some(9));
}

fn has_socket(pid: u32) -> bool {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    files
        .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
        .any(|target| target.to_string_lossy().starts_with("socket:"))
}

#[test]
fn a_container_starts_attached_and_its_input_ends_with_ours() {
    let keel = Keel::new();
    keel.call([
        "create",
        "-i",
        "--name",
        "job",
        IMAGE,
        "sh",
        "-c",
        "cat; exit 4",
    ])
    .success();
    for _ in 0..2 {
        let mut child = piped(&keel, &["start", "-a", "-i", "job"]);
        child.stdin.take().unwrap().write_all(b"said\n").unwrap();
        assert_eq!(collect(child), (Some(4), "said\n".to_owned()));
    }
    assert_snapshot!(keel.call(["start", "-a", "job", "job"]).failure(1), @"keel: only one container can be attached to: start the others without `-a` and `-i`");
}

#[test]
fn what_cannot_start_is_told_by_run_at_a_terminal_too() {
    let keel = Keel::new();
    let answer = keel
        .call(["run", "--rm", "-t", IMAGE, "/nope"])
        .failure(127);
    assert!(answer.contains("/nope"), "{answer}");
    assert_eq!(keel.containers_left().len(), 0);
    let said = keel.call(["run", "--rm", "-t", IMAGE, "sh", "-c", "echo hi; exit 3"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(3), "hi\r\n"));
    assert_eq!(keel.containers_left().len(), 0);
}

#[test]
fn a_command_at_a_terminal_can_be_left_too() {
    let keel = Keel::new();
    keel.start_idle("web", &[]);
    let exec = ["exec", "-it", "web", "sh", "-c"];
    let script = "echo ready; while ! [ -e /go ]; do sleep 0.01; done; echo done >/went";
    let (mut child, mut master, _slave) = at_terminal(&keel, &[&exec[..], &[script]].concat());
    read_until(&mut master, "ready");
    master.write_all(b"\x10\x11").unwrap();
    read_until(&mut master, "read escape sequence");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let wait = "touch /go; while ! [ -s /went ]; do sleep 0.01; done; cat /went";
    let said = keel.call(["exec", "web", "sh", "-c", wait]).success();
    assert_eq!(said, "done\n");
    // What cannot start is told as ever.
    let (mut child, mut master, _slave) = at_terminal(&keel, &["exec", "-it", "web", "/nope"]);
    read_until(&mut master, "/nope");
    assert_eq!(child.wait().unwrap().code(), Some(127));
}

#[test]
fn only_what_runs_can_be_attached_to() {
    let keel = Keel::new();
    keel.start_idle("web", &[]);
    keel.call(["pause", "web"]).success();
    let paused = keel.call(["attach", "web"]).failure(1);
    assert!(paused.contains("is paused"), "{paused}");
    keel.call(["unpause", "web"]).success();
    let monitor = status_of(keel.pid("web"), "PPid").parse().unwrap();
    kill(Pid::from_raw(monitor), Signal::SIGKILL).unwrap();
    while std::fs::metadata(format!("/proc/{monitor}")).is_ok() {
        std::thread::yield_now();
    }
    assert_snapshot!(keel.call(["attach", "web"]).failure(1), @"keel: container `web` cannot be attached to: it runs in the foreground with `--rm`, or its monitor was killed");
    keel.call(["stop", "-t", "0", "web"]).success();
    let ended = keel.call(["attach", "web"]).failure(1);
    assert!(ended.contains("not running"), "{ended}");
}

#[test]
fn the_socket_is_a_file_that_others_cannot_reach() {
    let keel = Keel::new();
    let id = keel.start_idle("web", &[]);
    let folder = keel
        .root()
        .join("containers")
        .join(format!("web-{}", &id[..12]));
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&folder) & 0o777, 0o700);
    assert_eq!(mode(&folder.join("attach.sock")) & 0o777, 0o600);
    // CVE-2020-15257: no socket of ours is in the abstract name space.
    let monitor = status_of(keel.pid("web"), "PPid");
    let own = std::fs::read_dir(format!("/proc/{monitor}/fd")).unwrap();
    let own: Vec<String> = own
        .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
        .filter_map(|target| {
            let target = target.to_string_lossy().into_owned();
            Some(
                target
                    .strip_prefix("socket:[")?
                    .trim_end_matches(']')
                    .to_owned(),
            )
        })
        .collect();
    assert_eq!(own.len(), 1);
    let all = std::fs::read_to_string("/proc/net/unix").unwrap();
    let line = all.lines().find(|line| line.contains(&own[0])).unwrap();
    assert!(line.ends_with("/attach.sock"), "{line}");
}

#[test]
fn a_container_in_the_foreground_can_be_listened_to() {
    let keel = Keel::new();
    let script = "echo ready; read x; echo last; exit 5";
    let mut child = piped(
        &keel,
        &["run", "-i", "--name", "job", IMAGE, "sh", "-c", script],
    );
    let lines = await_line(&mut child, "ready");
    let listener = piped(&keel, &["attach", "--no-stdin", "job"]);
    let attached = [
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--filter",
        "event=attach",
    ];
    while keel.call(attached).success().is_empty() {
        std::thread::yield_now();
    }
    drop(child.stdin.take());
    assert_eq!(collect(listener), (Some(5), "last\n".to_owned()));
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

/// Gives a terminal another size.
fn resize(terminal: &std::os::fd::OwnedFd, rows: u16, columns: u16) {
    let set = std::process::Command::new("stty")
        .args(["rows", &rows.to_string(), "cols", &columns.to_string()])
        .stdin(Stdio::from(terminal.try_clone().unwrap()))
        .status();
    assert!(set.unwrap().success());
}
