//! Containers with a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

use super::Keel;
use super::keel::IMAGE;

/// A terminal of the host, of a known size.
pub(crate) fn terminal() -> (File, OwnedFd) {
    let size = Winsize {
        ws_row: 33,
        ws_col: 77,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pty = openpty(Some(&size), None).unwrap();
    (File::from(pty.master), pty.slave)
}

/// Reads until `wanted` has come.
pub(crate) fn read_until(master: &mut File, wanted: &str) -> String {
    let mut said = String::new();
    let mut chunk = [0; 1024];
    while !said.contains(wanted) {
        let length = master.read(&mut chunk).unwrap();
        said += &String::from_utf8_lossy(&chunk[..length]);
    }
    said
}

#[test]
fn a_terminal_is_typed_into_and_has_the_size_of_ours() {
    let keel = Keel::new();
    let (mut master, slave) = terminal();
    let stream = || Stdio::from(slave.try_clone().unwrap());
    let mut child = keel
        .command([
            "run",
            "--rm",
            "-it",
            IMAGE,
            "sh",
            "-c",
            "tty; stty size; echo ready; read x; echo got:$x",
        ])
        .stdin(stream())
        .stdout(stream())
        .stderr(stream())
        .spawn()
        .unwrap();
    let said = read_until(&mut master, "ready");
    assert!(
        said.contains("/dev/pts/0") || said.contains("/dev/console"),
        "{said}"
    );
    assert!(said.contains("33 77"), "{said}");
    let modes = tcgetattr(&slave).unwrap().local_flags;
    assert!(
        !modes.contains(LocalFlags::ICANON),
        "our terminal is not raw"
    );
    master.write_all(b"typed\n").unwrap();
    read_until(&mut master, "got:typed");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let modes = tcgetattr(&slave).unwrap().local_flags;
    assert!(
        modes.contains(LocalFlags::ICANON),
        "our terminal was not restored"
    );
}

#[test]
fn a_detached_terminal_is_logged() {
    let keel = Keel::new();
    keel.call([
        "run",
        "-d",
        "-t",
        "--name",
        "job",
        IMAGE,
        "sh",
        "-c",
        "[ -t 1 ] && echo terminal",
    ])
    .success();
    keel.call(["wait", "job"]).success();
    assert_eq!(keel.call(["logs", "job"]).stdout, "terminal\r\n");
}

#[test]
fn exec_has_a_terminal_too() {
    let keel = Keel::new();
    keel.start_idle("web", &[]);
    let (mut master, slave) = terminal();
    let stream = || Stdio::from(slave.try_clone().unwrap());
    let mut child = keel
        .command([
            "exec",
            "-it",
            "web",
            "sh",
            "-c",
            "[ -t 0 ] && stty size; read x; exit $x",
        ])
        .stdin(stream())
        .stdout(stream())
        .stderr(stream())
        .spawn()
        .unwrap();
    read_until(&mut master, "33 77");
    master.write_all(b"4\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(4));
}

#[test]
fn an_idle_shell_with_standard_input_kept_open_stays() {
    let keel = Keel::new();
    keel.call(["run", "-d", "-i", "--name", "shell", IMAGE, "sh"])
        .success();
    assert_eq!(
        keel.call(["exec", "shell", "echo", "there"]).success(),
        "there\n"
    );
}
