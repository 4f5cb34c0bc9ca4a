//! More processes in a container that runs.

use super::lifecycle::every_byte;
use crate::suite::case::{Case, Proof, case};
use crate::suite::check::{holds, same};
use crate::suite::scene::Scene;

pub(super) const CASES: &[Case] = &[
    case(
        "lifecycle.exec-gives-the-status",
        &["docker.exec.exit-status"],
        exec_status,
    ),
    case(
        "lifecycle.exec-passes-stdin",
        &["docker.exec.interactive"],
        exec_stdin,
    ),
    case(
        "lifecycle.exec-needs-a-running-container",
        &["docker.exec.running-only"],
        exec_stopped,
    ),
];

fn exec_status(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["pause"])?;
    for (command, status) in [
        ("exit", 5),
        ("/etc/plain", 126),
        ("/bin/no-such-command", 127),
    ] {
        let done = container.exec(&[], &[command, "5"])?;
        same(command, done.code(), status)?;
    }
    let done = container.exec(&[], &["both", "1"])?;
    same(
        "streams",
        (done.out(), done.err()),
        ("out 1\n".to_owned(), "err 1\n".to_owned()),
    )?;
    holds(container.process.runs(), || {
        "the container ended with what ran in it".to_owned()
    })
}

fn exec_stdin(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["pause"])?;
    let bytes = every_byte();
    let done = scene.engine_fed("exec", ["-i", &container.name, "copy"], &bytes)?;
    same("exit status", done.code(), 0)?;
    holds(done.stdout == bytes, || {
        format!(
            "{} bytes went in, {} others came out",
            bytes.len(),
            done.stdout.len()
        )
    })
}

fn exec_stopped(scene: &Scene<'_>) -> Proof {
    let container = scene.start_unready(&[], &["exit", "0"])?;
    same("exit status", container.wait()?, 0)?;
    let done = container.exec(&[], &["echo", "in"])?;
    holds(done.code() != 0 && done.stdout.is_empty(), || {
        format!(
            "something ran in a container that has ended: {}",
            done.account()
        )
    })
}
