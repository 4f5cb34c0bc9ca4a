//! `keel run`: streams, exit codes, and what the command sees.

use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Keel;
use super::keel::{Answer, IMAGE, collect};

#[test]
fn streams_and_exit_code_are_the_commands_own() {
    for driver in ["overlay", "vfs"] {
        let answer = Keel::on(driver).sh(&[], "echo out; echo err >&2; exit 7");
        assert_eq!(
            (answer.code, answer.stdout.as_str()),
            (Some(7), "out\n"),
            "{driver}"
        );
        assert_eq!(answer.stderr, "err\n", "{driver}");
    }
}

#[test]
fn streams_are_the_same_when_they_are_logged_too() {
    let keel = Keel::new();
    let script = "echo out; echo err >&2; exit 7";
    let answer = keel.call(["run", "--name", "job", IMAGE, "sh", "-c", script]);
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(7), "out\n"));
    assert_eq!(answer.stderr, "err\n");
    let logs = keel.call(["logs", "job"]);
    assert_eq!(
        (logs.stdout.as_str(), logs.stderr.as_str()),
        ("out\n", "err\n")
    );
}

#[test]
fn a_command_that_is_not_there_is_127_and_one_that_cannot_be_executed_126() {
    let keel = Keel::new();
    for (command, code) in [
        ("/nope", 127),
        ("nope", 127),
        ("/etc/plain", 126),
        ("/etc", 126),
    ] {
        let refusal = keel.call(["run", "--rm", IMAGE, command]).failure(code);
        assert!(refusal.contains(command), "{refusal}");
        let refusal = keel
            .call(["run", "-d", "--rm", IMAGE, command])
            .failure(code);
        assert!(refusal.contains(command), "{refusal}");
    }
    assert_eq!(
        keel.containers_left(),
        [""; 0].map(std::path::PathBuf::from)
    );
}

#[test]
fn what_the_engine_refuses_is_125_and_leaves_nothing() {
    let keel = Keel::new();
    for args in [
        &["nosuchimage", "true"][..],
        &["--memory", "lots", IMAGE, "true"],
        &["--network", "bridge", IMAGE, "true"],
        &["--security-opt", "apparmor=x", IMAGE, "true"],
        &["--user", "nobody-knows", IMAGE, "true"],
        &["--no-such-flag", IMAGE, "true"],
        &[IMAGE],
    ] {
        let all = ["run", "--rm"].iter().chain(args).copied();
        let refusal = keel.call(all).failure(125);
        assert!(!refusal.is_empty());
    }
    assert_eq!(
        keel.containers_left(),
        [""; 0].map(std::path::PathBuf::from)
    );
}

#[test]
fn a_child_that_a_signal_kills_is_128_and_the_signal() {
    let keel = Keel::new();
    assert_eq!(keel.sh(&[], "sh -c 'kill -9 $$'; exit $?").code, Some(137));
    assert_eq!(keel.sh(&["--init"], "kill -15 $$").code, Some(143));
}

/// Waits until a container that runs in the foreground is there.
fn await_made(keel: &Keel, name: &str) {
    let names = || keel.call(["ps", "-a", "--format", "{{.Names}}"]).stdout;
    while !names().contains(name) {
        std::thread::yield_now();
    }
}

#[test]
fn signals_to_keel_are_passed_on() {
    let keel = Keel::new();
    let script =
        "trap 'echo stopped; exit 3' TERM; echo ready; while :; do sleep 1000 & wait; done";
    let child = keel
        .command(["run", "--name", "job", IMAGE, "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    await_made(&keel, "job");
    keel.await_line("job", "ready");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(collect(child), (Some(3), "ready\nstopped\n".to_owned()));
}

#[test]
fn signals_are_passed_on_while_nobody_reads_a_flood_of_output() {
    let keel = Keel::new();
    let flood = "while :; do echo y; done";
    let child = keel
        .command(["run", "--init", "--name", "flood", IMAGE, "sh", "-c", flood])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    await_made(&keel, "flood");
    keel.await_line("flood", "y");
    let first = keel.pid("flood");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    // While the pipe is full Keel cannot have reaped it; if it was not full yet, it may have.
    let has_ended = || {
        let stat = std::fs::read_to_string(format!("/proc/{first}/stat"));
        stat.map_or(true, |stat| stat.contains(") Z "))
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !has_ended() {
        assert!(Instant::now() < deadline, "the signal was not passed on");
        std::thread::yield_now();
    }
    assert_eq!(collect(child).0, Some(143));
}

#[test]
fn standard_input_is_empty_unless_it_is_asked_for() {
    let keel = Keel::new();
    let said = |flags: &[&str]| {
        keel.sh_with_input(flags, "cat; echo end", "typed\n")
            .success()
    };
    assert_eq!(said(&[]), "end\n");
    assert_eq!(said(&["-i"]), "typed\nend\n");
}

#[test]
fn large_output_comes_through_whole() {
    let keel = Keel::new();
    let script = "dd if=/dev/zero bs=1024 count=3000 2>/dev/null";
    let whole = keel.call(["run", IMAGE, "sh", "-c", script]).success();
    assert_eq!(whole.len(), 3000 * 1024);
}

#[test]
fn the_command_sees_what_the_flags_say() {
    let keel = Keel::new();
    let flags = [
        "-e",
        "A=1",
        "-e",
        "HERE",
        "-w",
        "/srv/new",
        "--hostname",
        "boat",
    ];
    let answer = keel
        .command(["run", "--rm"].iter().chain(&flags).copied().chain([
            IMAGE,
            "sh",
            "-c",
            "echo $A $HERE $(pwd) $(hostname) $(cat /etc/hostname) $HOSTNAME $HOME",
        ]))
        .env("HERE", "from-keel")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&answer.stdout),
        "1 from-keel /srv/new boat boat boat /root\n"
    );
}

#[test]
fn a_user_is_looked_up_in_the_container() {
    let keel = Keel::new();
    let id = |user: &str| {
        keel.sh(&["-u", user], "echo $(id -u):$(id -g):$(id -G):$HOME")
            .success()
    };
    assert_eq!(id("web"), "33:34:34 40:/srv\n");
    assert_eq!(id("web:logs"), "33:40:40:/srv\n");
    assert_eq!(id("1000:1001"), "1000:1001:1001:/\n");
}

#[test]
fn a_user_that_is_not_root_can_open_its_output_anew() {
    let keel = Keel::new();
    let args = [
        "run",
        "-u",
        "web",
        IMAGE,
        "sh",
        "-c",
        "echo out > /proc/self/fd/1; echo err > /proc/self/fd/2",
    ];
    let answer = keel.call(args);
    assert_eq!(
        (answer.stdout.as_str(), answer.stderr.as_str()),
        ("out\n", "err\n")
    );
}

#[test]
fn an_entry_point_comes_before_the_command() {
    let keel = Keel::new();
    let args = [
        "run",
        "--rm",
        "--entrypoint",
        "/bin/echo",
        IMAGE,
        "-n",
        "said",
    ];
    assert_eq!(keel.call(args).success(), "said");
}

#[test]
fn what_is_removed_at_its_end_leaves_nothing() {
    for driver in ["overlay", "vfs"] {
        let keel = Keel::on(driver);
        keel.sh(&["--memory", "64m"], "touch /new").success();
        assert_eq!(
            keel.containers_left(),
            [""; 0].map(std::path::PathBuf::from),
            "{driver}"
        );
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(keel.root().to_str().unwrap()), "{mounts}");
        assert_eq!(keel.call(["ps", "-aq"]).success(), "");
    }
}

#[test]
fn a_detached_container_gives_its_id_and_keeps_running() {
    let keel = Keel::new();
    let id = keel.start_idle("web", &[]);
    assert_eq!(id.len(), 64);
    let row = keel
        .call([
            "ps",
            "--no-trunc",
            "--format",
            "{{.ID}} {{.Names}} {{.State}}",
        ])
        .success();
    assert_eq!(row, format!("{id} web running\n"));
}

#[test]
fn an_init_reaps_what_its_program_leaves_behind() {
    let keel = Keel::new();
    keel.start(
        "web",
        &["--init"],
        "(sleep 0.01 &) ; echo ready; exec sleep 1000",
    );
    let init = keel.pid("web");
    let children = format!("/proc/{init}/task/{init}/children");
    // One child, the program itself, once the orphan has been reaped.
    while std::fs::read_to_string(&children)
        .unwrap()
        .split_whitespace()
        .count()
        > 1
    {
        std::thread::yield_now();
    }
    let program: u32 = std::fs::read_to_string(&children)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert_eq!(super::keel::status_of(program, "Name"), "sleep");
}

#[test]
fn a_container_runs_without_the_calls_that_an_old_kernel_lacks() {
    let keel = Keel::new();
    let run = |version: &str| {
        let args = [
            "run",
            "--rm",
            "--privileged",
            IMAGE,
            "cat",
            "/proc/self/status",
        ];
        let mut command = keel.command(args);
        Answer::of(
            &command
                .env("KEEL_PRETEND_KERNEL", version)
                .output()
                .unwrap(),
        )
    };
    let status = run("3.8").success();
    assert!(status.contains("Seccomp:\t2"), "{status}");
    let refused = run("2.6");
    assert_eq!(refused.code, Some(125));
    assert!(refused.stderr.contains("can be `3.8` only"), "{refused:?}");
}
