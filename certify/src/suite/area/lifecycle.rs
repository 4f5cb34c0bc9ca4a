//! Containers come, run, and go.

use crate::suite::case::{Case, Proof, case};
use crate::suite::check::{holds, same};
use crate::suite::patience::until;
use crate::suite::scene::Scene;

pub(super) const CASES: &[Case] = &[
    case(
        "lifecycle.exit-status-is-the-commands",
        &["docker.run.exit-status"],
        exit_status,
    ),
    case(
        "lifecycle.engine-errors-are-125",
        &["docker.run.exit-125"],
        engine_error,
    ),
    case(
        "lifecycle.what-cannot-be-executed-is-126",
        &["docker.run.exit-126"],
        not_executable,
    ),
    case(
        "lifecycle.what-is-not-there-is-127",
        &["docker.run.exit-127"],
        not_found,
    ),
    case(
        "lifecycle.output-streams-are-apart",
        &["docker.run.streams"],
        streams,
    ),
    case(
        "lifecycle.stdin-passes-every-byte",
        &["docker.run.interactive"],
        stdin,
    ),
    case(
        "lifecycle.stdin-is-empty-unless-asked-for",
        &["docker.run.interactive"],
        no_stdin,
    ),
    case(
        "lifecycle.tty-is-a-terminal",
        &["docker.run.tty", "oci.process.terminal"],
        tty,
    ),
    case(
        "lifecycle.detached-survives-its-starter",
        &["docker.run.detach"],
        detached,
    ),
    case("lifecycle.ps-shows-what-runs", &["docker.ps"], ps),
    case(
        "lifecycle.logs-keep-both-streams-in-order",
        &["docker.logs"],
        logs,
    ),
    case(
        "lifecycle.logs-of-a-running-container",
        &["docker.logs"],
        logs_running,
    ),
    case("lifecycle.wait-gives-the-status", &["docker.wait"], wait),
    case(
        "lifecycle.inspect-tells-the-state",
        &["docker.inspect.state", "oci.lifecycle.state"],
        inspect,
    ),
    case(
        "lifecycle.rm-refuses-what-runs",
        &["docker.rm", "oci.lifecycle.delete"],
        rm_running,
    ),
    case("lifecycle.rm-force-ends-it", &["docker.rm.force"], rm_force),
    case(
        "lifecycle.run-rm-leaves-nothing",
        &["docker.run.rm"],
        run_rm,
    ),
    case(
        "lifecycle.names-are-unique",
        &["docker.run.name"],
        name_in_use,
    ),
    case(
        "lifecycle.unknown-containers-are-refused",
        &["docker.unknown-container"],
        unknown,
    ),
];

fn exit_status(scene: &Scene<'_>) -> Proof {
    for status in ["0", "7", "255"] {
        let done = scene.run(&[], &["exit", status])?;
        same("exit status", done.code().to_string(), status.to_owned())?;
    }
    // An engine that only says what was expected of it would pass so far.
    same(
        "output",
        scene.says(&[], &["echo", "done"])?,
        "done\n".to_owned(),
    )
}

fn engine_error(scene: &Scene<'_>) -> Proof {
    scene.says(&[], &["true"])?;
    let name = scene.name();
    let line = [
        "--rm",
        "--name",
        &name,
        "localhost/seaworthy-no-such-image:1",
        "true",
    ];
    let done = scene.engine("run", line)?;
    same(
        "exit status for an image that is not there",
        done.code(),
        125,
    )?;
    holds(!done.stderr.is_empty(), || {
        "nothing on stderr says why".to_owned()
    })?;
    let done = scene.run(&["--no-such-option"], &["true"])?;
    same("exit status for an unknown option", done.code(), 125)
}

fn not_executable(scene: &Scene<'_>) -> Proof {
    scene.says(&[], &["true"])?;
    let done = scene.run(&[], &["/etc/plain"])?;
    same("exit status for a file without x", done.code(), 126)?;
    let done = scene.run(&[], &["/etc"])?;
    holds([126, 127].contains(&done.code()), || {
        format!("a folder as command: {}", done.account())
    })
}

fn not_found(scene: &Scene<'_>) -> Proof {
    for command in ["/bin/no-such-command", "no-such-command"] {
        let done = scene.run(&[], &[command])?;
        same(command, done.code(), 127)?;
    }
    Ok(())
}

fn streams(scene: &Scene<'_>) -> Proof {
    let done = scene.run(&[], &["both", "3"])?;
    same("stdout", done.out(), "out 1\nout 2\nout 3\n".to_owned())?;
    same("stderr", done.err(), "err 1\nerr 2\nerr 3\n".to_owned())
}

/// 256 KiB of every byte: more than a pipe holds, and nothing of it text.
pub(super) fn every_byte() -> Vec<u8> {
    (0..=u8::MAX).cycle().take(256 << 10).collect()
}

fn stdin(scene: &Scene<'_>) -> Proof {
    let bytes = every_byte();
    let done = scene.run_fed(crate::suite::image::BASE, &["-i"], &["copy"], Some(&bytes))?;
    same("exit status", done.code(), 0)?;
    same("bytes that came back", done.stdout.len(), bytes.len())?;
    holds(done.stdout == bytes, || {
        "the bytes that came back are others".to_owned()
    })
}

fn no_stdin(scene: &Scene<'_>) -> Proof {
    let done = scene.run_fed(
        crate::suite::image::BASE,
        &[],
        &["then", "copy", ",", "echo", "end"],
        Some(b"secret"),
    )?;
    same("output", done.out(), "end\n".to_owned())
}

fn tty(scene: &Scene<'_>) -> Proof {
    let text = scene.says(&["-t"], &["tty"])?;
    // CR LF: what a terminal makes of a newline (termios, ONLCR).
    same(
        "streams",
        text,
        "stdin=true stdout=true stderr=true controlling=true\r\n".to_owned(),
    )?;
    let text = scene.says(&[], &["tty"])?;
    same(
        "without -t",
        text,
        "stdin=false stdout=false stderr=false controlling=false\n".to_owned(),
    )
}

fn detached(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["pause"])?;
    // The command that started it has ended, or `start` would still wait.
    holds(container.process.runs(), || {
        "it ended with its starter".to_owned()
    })?;
    let own = nix::unistd::getsid(None).map_err(std::io::Error::from)?;
    let pid = nix::unistd::Pid::from_raw(container.process.0);
    let its = nix::unistd::getsid(Some(pid)).map_err(std::io::Error::from)?;
    // In the same session a closed terminal would end it.
    holds(its != own, || {
        "it stayed in the session of its starter".to_owned()
    })
}

fn ps(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["trap", "TERM=0"])?;
    let lists = |options: &[&str]| -> Proof<bool> {
        let text = scene.engine_ok("ps", options)?;
        Ok(text.split_whitespace().any(|word| word == container.name))
    };
    same("a running container in `ps`", lists(&[])?, true)?;
    container.verb_says("kill", &["-s", "TERM"])?;
    container.wait()?;
    same("one that has ended in `ps`", lists(&[])?, false)?;
    same("one that has ended in `ps -a`", lists(&["-a"])?, true)
}

fn logs(scene: &Scene<'_>) -> Proof {
    let container = scene.start_unready(&[], &["both", "3"])?;
    same("exit status", container.wait()?, 0)?;
    let logs = container.logs()?;
    same("stdout", logs.out(), "out 1\nout 2\nout 3\n".to_owned())?;
    same("stderr", logs.err(), "err 1\nerr 2\nerr 3\n".to_owned())
}

fn logs_running(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["pause", "all", "well"])?;
    // The line was written before the process was ready; the engine may still be storing it.
    until("the line is in the log", || {
        let logs = container.logs().ok()?;
        (logs.out() == "all well\n").then_some(())
    })?;
    holds(container.process.runs(), || {
        "reading the log ended the container".to_owned()
    })
}

fn wait(scene: &Scene<'_>) -> Proof {
    let container = scene.start_unready(&[], &["exit", "23"])?;
    same("status", container.wait()?, 23)?;
    same("status when asked again", container.wait()?, 23)
}

fn inspect(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["trap", "TERM=4"])?;
    let running = container.inspect()?;
    same("status", running.state.status, "running".to_owned())?;
    let command = container.process.read("cmdline")?;
    same(
        "command of the process it names",
        command,
        "trap\0TERM=4\0".to_owned(),
    )?;
    let is_id = running.id.len() == 64 && running.id.bytes().all(|b| b.is_ascii_hexdigit());
    holds(is_id, || {
        format!("the id is not 64 hexadecimal digits: {}", running.id)
    })?;
    container.verb_says("kill", &["-s", "TERM"])?;
    container.wait()?;
    let ended = container.inspect()?;
    same(
        "status after its end",
        ended.state.status,
        "exited".to_owned(),
    )?;
    same("exit code", ended.state.exit_code, 4)?;
    same("process after its end", ended.state.pid, 0)
}

fn rm_running(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["pause"])?;
    let refused = container.verb("rm", &[])?;
    holds(refused.code() != 0, || {
        format!("a running container was removed: {}", refused.account())
    })?;
    holds(container.process.runs(), || {
        "the refused `rm` ended it".to_owned()
    })?;
    same(
        "status",
        container.inspect()?.state.status,
        "running".to_owned(),
    )
}

fn rm_force(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["pause"])?;
    container.verb_says("rm", &["-f"])?;
    let gone = container.verb("inspect", &[])?;
    holds(gone.code() != 0, || "it can still be inspected".to_owned())?;
    let all = scene.engine_ok("ps", ["-a"])?;
    holds(!all.contains(&container.name), || {
        "it is still listed".to_owned()
    })?;
    until("its process is gone", || {
        (!container.process.runs()).then_some(())
    })
}

fn run_rm(scene: &Scene<'_>) -> Proof {
    let name = scene.name();
    // The last `--name` would be an error for some engines: this line is its own.
    scene.says(&[], &["true"])?;
    let line = [
        "--rm",
        "--name",
        &name,
        "--network",
        "none",
        crate::suite::image::BASE,
        "exit",
        "3",
    ];
    same("exit status", scene.engine("run", line)?.code(), 3)?;
    let all = scene.engine_ok("ps", ["-a"])?;
    holds(!all.contains(&name), || {
        "a container of `run --rm` is still listed".to_owned()
    })?;
    let inspect = scene.engine("inspect", [&name])?;
    holds(inspect.code() != 0, || {
        "a container of `run --rm` can still be inspected".to_owned()
    })
}

fn name_in_use(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["pause"])?;
    let line = [
        "--rm",
        "--name",
        &container.name,
        "--network",
        "none",
        crate::suite::image::BASE,
        "echo",
        "in",
    ];
    let second = scene.engine("run", line)?;
    same(
        "exit status of a second one of that name",
        second.code(),
        125,
    )?;
    same("its output", second.out(), String::new())?;
    holds(container.process.runs(), || {
        "the first was ended by it".to_owned()
    })?;
    same(
        "the first",
        container.inspect()?.state.pid,
        container.process.0,
    )
}

fn unknown(scene: &Scene<'_>) -> Proof {
    // Something must work, or a program that always says no would pass.
    scene.says(&[], &["true"])?;
    for verb in ["inspect", "kill", "stop", "logs", "rm"] {
        let done = scene.engine(verb, ["seaworthy-no-such-container"])?;
        holds(done.code() != 0, || {
            format!("no such container, and yet: {}", done.account())
        })?;
        holds(!done.stderr.is_empty(), || {
            format!("`{verb}` doesn't say why it failed")
        })?;
    }
    Ok(())
}
