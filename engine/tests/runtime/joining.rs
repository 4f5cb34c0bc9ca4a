//! Further processes in a running container.

use std::fs::{self, File};
use std::io::Read;

use keel::runtime::{Console, Error, Exec, StartTime, Stdio, Target, exec};
use oci_spec::runtime::Process as ProcessSpec;
use serde_json::json;

use crate::scene::{Running, Scene, chain, pipe};

fn run(
    running: &Running,
    scene: &Scene,
    args: &[&str],
    target: Target,
) -> Result<(u8, String), Error> {
    let mut process = scene.spec["process"].clone();
    process["args"] = json!(args);
    let process: ProcessSpec = serde_json::from_value(process).expect("a process");
    let spec: oci_spec::runtime::Spec = serde_json::from_value(scene.spec.clone()).expect("a spec");
    let (mut output, writer) = pipe();
    let stdin = File::open("/dev/null").expect("/dev/null").into();
    let started = exec(Exec {
        target,
        process: &process,
        filter: spec
            .linux()
            .as_ref()
            .and_then(|linux| linux.seccomp().as_ref())
            .and_then(|profile| keel::runtime::seccomp::compile(profile).expect("a filter")),
        cgroup: running
            .process
            .cgroup()
            .map(keel::runtime::cgroup::Cgroup::path),
        stdio: Stdio::Fds {
            stdin,
            stdout: writer.try_clone().expect("a copy"),
            stderr: writer,
        },
        console: Console::None,
    })?;
    let mut text = String::new();
    output.read_to_string(&mut text).expect("output");
    Ok((started.wait().expect("a status").code(), text))
}

fn target(running: &Running) -> Target {
    Target {
        pid: running.process.pid(),
        start: running.process.start(),
    }
}

#[test]
fn a_joined_process_is_in_every_namespace_and_the_cgroup_and_confined_alike() {
    let scene = Scene::new("echo up; exec sleep 60")
        .in_cgroup()
        .with_default_seccomp();
    let mut running = scene.start();
    running.line();
    let script = "for n in pid mnt uts ipc net cgroup; do readlink /proc/self/ns/$n; done; hostname; \
        grep -E '^(CapEff|CapInh|NoNewPrivs|Seccomp):' /proc/self/status; cat /proc/self/cgroup | grep -c keel-test; ls /proc/self/fd | grep -c .; exit 9";
    let (code, text) = run(
        &running,
        &scene,
        &["/bin/sh", "-c", script],
        target(&running),
    )
    .unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(code, 9, "{text}");
    let lines: Vec<_> = text.lines().collect();
    for (line, name) in lines
        .iter()
        .zip(["pid", "mnt", "uts", "ipc", "net", "cgroup"])
    {
        assert_eq!(Some(*line), running.namespace(name).to_str(), "{name}");
    }
    // Four descriptors: three streams and that of ls itself.
    assert_eq!(
        lines[6..],
        [
            "keel-test",
            "CapInh:\t0000000000000000",
            "CapEff:\t00000000a80425fb",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
            "0",
            "4"
        ]
    );
}

#[test]
fn a_recycled_process_id_is_not_joined() {
    let scene = Scene::new("echo up; exec sleep 60");
    let mut running = scene.start();
    running.line();
    let StartTime(ticks) = running.process.start();
    let other = Target {
        start: StartTime(ticks + 1),
        ..target(&running)
    };
    let error = run(&running, &scene, &["true"], other).expect_err("another process");
    assert!(matches!(error, Error::Gone { .. }), "{error}");
}

#[test]
fn a_program_that_is_missing_in_the_container_is_127() {
    let scene = Scene::new("echo up; exec sleep 60");
    let mut running = scene.start();
    running.line();
    let error = run(&running, &scene, &["/no/such"], target(&running)).expect_err("no program");
    assert_eq!(error.exit_code(), 127, "{}", chain(&error));
}

/// CVE-2016-9962, CVE-2019-5736: what runs in the container must not reach the joining process.
#[test]
fn the_first_process_cannot_look_into_the_engines() {
    let scene = Scene::new("echo up; exec sleep 60");
    let mut running = scene.start();
    running.line();
    let (code, text) = run(
        &running,
        &scene,
        &["/bin/readlink", "/proc/self/exe"],
        target(&running),
    )
    .expect("joined");
    assert_eq!((code, text.as_str()), (0, "/bin/busybox\n"));
    assert!(fs::read_dir(running.proc("fd")).expect("fds").count() == 3);
}
