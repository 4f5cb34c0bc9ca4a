//! Ending containers, and what process 1 owes to the others.

use crate::suite::case::{Case, Proof, case};
use crate::suite::check::{holds, same};
use crate::suite::patience::until;
use crate::suite::scene::Scene;

pub(super) const CASES: &[Case] = &[
    case(
        "lifecycle.kill-is-137",
        &[
            "docker.kill",
            "oci.lifecycle.kill",
            "docker.run.exit-signal",
        ],
        kill,
    ),
    case(
        "lifecycle.kill-sends-the-named-signal",
        &["docker.kill.signal", "oci.lifecycle.kill"],
        kill_signal,
    ),
    case(
        "lifecycle.kill-needs-a-running-container",
        &["oci.lifecycle.kill-state"],
        kill_stopped,
    ),
    case("lifecycle.stop-asks-first", &["docker.stop"], stop_asks),
    case(
        "lifecycle.stop-kills-at-last",
        &["docker.stop.timeout"],
        stop_kills,
    ),
    case(
        "lifecycle.terminated-is-143",
        &["docker.run.exit-signal", "docker.run.init"],
        terminated,
    ),
    case(
        "lifecycle.process-one-is-the-command",
        &["oci.ns.pid.init"],
        pid_one,
    ),
    case(
        "lifecycle.init-is-process-one",
        &["docker.run.init"],
        init_is_one,
    ),
    case(
        "lifecycle.init-forwards-signals",
        &["docker.run.init"],
        init_forwards,
    ),
    case(
        "lifecycle.init-reaps-orphans",
        &["docker.run.init.reap"],
        init_reaps,
    ),
    case(
        "lifecycle.all-processes-end-with-the-first",
        &["oci.lifecycle.end"],
        all_end,
    ),
];

fn kill(scene: &Scene<'_>) -> Proof {
    let (name, running) = scene.run_beside(&["--rm"], &["pause", "here"])?;
    until("the container runs", || {
        let says = running.stdout_so_far().ok()? == b"here\n";
        // What it says may come before the engine has written down that it runs.
        let shown = says
            && scene
                .engine("inspect", [&name])
                .ok()?
                .out()
                .contains("\"running\"");
        (shown || running.has_ended()).then_some(())
    })?;
    holds(!running.has_ended(), || {
        "the container ended at once".to_owned()
    })?;
    scene.engine_ok("kill", [&name])?;
    until("the `run` that waited for it has ended", || {
        running.has_ended().then_some(())
    })?;
    same(
        "exit status of the `run` that waited for it",
        running.finish()?.code(),
        137,
    )
}

fn kill_signal(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["trap", "USR1", "USR2=9"])?;
    container.verb_says("kill", &["-s", "USR1"])?;
    container.verb_says("kill", &["--signal", "SIGUSR2"])?;
    same("exit status", container.wait()?, 9)?;
    same(
        "signals that arrived",
        container.logs()?.out(),
        "SIGUSR1\nSIGUSR2\n".to_owned(),
    )
}

fn kill_stopped(scene: &Scene<'_>) -> Proof {
    let container = scene.start_unready(&[], &["exit", "6"])?;
    same("exit status", container.wait()?, 6)?;
    let done = container.verb("kill", &[])?;
    holds(done.code() != 0, || {
        format!("a container that has ended was killed: {}", done.account())
    })?;
    let state = container.inspect()?.state;
    same(
        "state after the refused `kill`",
        (state.status.as_str(), state.exit_code),
        ("exited", 6),
    )
}

fn stop_asks(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["trap", "TERM=42"])?;
    container.verb_says("stop", &["-t", "60"])?;
    same("exit status", container.wait()?, 42)?;
    same(
        "signals that arrived",
        container.logs()?.out(),
        "SIGTERM\n".to_owned(),
    )
}

fn stop_kills(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["ignore", "TERM"])?;
    container.verb_says("stop", &["-t", "1"])?;
    holds(!container.process.runs(), || "it still runs".to_owned())?;
    same("exit status", container.wait()?, 137)
}

fn terminated(scene: &Scene<'_>) -> Proof {
    // Process 1 of a namespace is spared by signals that it doesn't handle
    // (pid_namespaces(7)); the child of an init process is not.
    let container = scene.start(&["--init"], &["pause"])?;
    container.verb_says("kill", &["-s", "TERM"])?;
    same("exit status", container.wait()?, 143)
}

fn pid_one(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["pause", "first"])?;
    let ids = container.process.status("NSpid")?;
    same(
        "its id in its own namespace",
        ids.split_whitespace().next_back(),
        Some("1"),
    )?;
    same(
        "its command",
        container.process.read("cmdline")?,
        "pause\0first\0".to_owned(),
    )
}

fn init_is_one(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&["--init"], &["pause", "second"])?;
    let ids = container.process.status("NSpid")?;
    same(
        "its id in its own namespace",
        ids.split_whitespace().next_back(),
        Some("1"),
    )?;
    let children = container.process.children()?;
    let commands = children
        .iter()
        .map(|child| child.read("cmdline"))
        .collect::<Proof<Vec<_>>>()?;
    same("its children", commands, vec!["pause\0second\0".to_owned()])
}

fn init_forwards(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&["--init"], &["trap", "HUP", "TERM=31"])?;
    container.verb_says("kill", &["-s", "HUP"])?;
    until("SIGHUP arrived", || {
        (container.logs().ok()?.out() == "SIGHUP\n").then_some(())
    })?;
    container.verb_says("stop", &["-t", "60"])?;
    same("exit status", container.wait()?, 31)
}

fn init_reaps(scene: &Scene<'_>) -> Proof {
    same(
        "an orphan",
        scene.says(&["--init"], &["orphan"])?,
        "reaped\n".to_owned(),
    )
}

fn all_end(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["pause"])?;
    let (second, running) = container.exec_beside(&["pause"])?;
    holds(second.runs(), || {
        "the second process ended early".to_owned()
    })?;
    container.verb_says("kill", &[])?;
    container.wait()?;
    until("the second process is gone", || {
        (!second.runs()).then_some(())
    })?;
    same(
        "exit status of the `exec` that waited for it",
        running.finish()?.code(),
        137,
    )
}
