//! What can be done with a container that runs.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::console::receive;
use crate::scene::{Scene, wait_for};

const WAITS: &str = "echo ready; exec sleep 600";

#[test]
fn exec_runs_inside_as_the_containers_own_process_would() {
    let scene = Scene::new(WAITS);
    scene.up();
    let answer = scene.call([
        "exec",
        "--cwd",
        "/etc",
        "--env",
        "A=1",
        "--user",
        "7:8",
        "-g",
        "9",
        "c",
        "sh",
        "-c",
        "pwd; echo $A; id; readlink /proc/self/ns/uts; hostname; exit 4",
    ]);
    assert_eq!(answer.code, Some(4), "{answer:#?}");
    let own = fs::read_link(format!("/proc/{}/ns/uts", scene.pid())).unwrap();
    assert_eq!(
        answer.stdout,
        format!(
            "/etc\n1\nuid=7 gid=8 groups=9\n{}\nscene\n",
            own.to_str().unwrap()
        )
    );
    let group = scene
        .call(["exec", "c", "cat", "/proc/self/cgroup"])
        .success();
    let path = scene.spec["linux"]["cgroupsPath"].as_str().unwrap();
    assert!(group.stdout.contains(path), "{group:#?}");
}

#[test]
fn exec_takes_a_process_from_a_file() {
    let scene = Scene::new(WAITS);
    scene.up();
    let path = scene.path("process.json");
    let process = json!({
        "user": {"uid": 5, "gid": 6}, "cwd": "/", "args": ["sh", "-c", "id; cat"], "env": ["PATH=/bin"],
    });
    fs::write(&path, process.to_string()).unwrap();
    let mut child = scene
        .command(["exec", "--process", path.to_str().unwrap(), "c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"typed").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "uid=5 gid=6\ntyped"
    );
}

#[test]
fn exec_gives_capabilities_and_takes_privileges() {
    let scene = Scene::new(WAITS);
    scene.up();
    let status = |flags: &[&str]| {
        let args = ["exec"]
            .iter()
            .chain(flags)
            .chain(&["c", "cat", "/proc/self/status"]);
        scene.call(args.copied()).success().stdout
    };
    let line = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().to_owned()
    };
    let plain = status(&[]);
    assert_eq!(line(&plain, "NoNewPrivs:"), "0");
    let more = status(&["--cap", "CAP_SYS_TIME", "--no-new-privs"]);
    assert_eq!(line(&more, "NoNewPrivs:"), "1");
    let bits = |text| u64::from_str_radix(&line(text, "CapEff:"), 16).unwrap();
    assert_eq!(bits(&more), bits(&plain) | 1 << 25);
}

#[test]
fn a_detached_exec_writes_its_pid_and_may_have_a_terminal() {
    let scene = Scene::new(WAITS);
    scene.up();
    let file = scene.path("pid");
    scene
        .leave([
            "exec",
            "--detach",
            "--pid-file",
            file.to_str().unwrap(),
            "c",
            "sleep",
            "500",
        ])
        .success();
    let pid = fs::read_to_string(file).unwrap();
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(command, "sleep\x00500\x00");
    let socket = scene.path("console.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    scene
        .leave([
            "exec",
            "-d",
            "-t",
            "--console-socket",
            socket.to_str().unwrap(),
            "c",
            "tty",
        ])
        .success();
    let (connection, _) = listener.accept().unwrap();
    let (master, _) = receive(&connection);
    let mut text = String::new();
    // The end of a terminal without users is an error.
    let _end = std::io::Read::read_to_string(&mut fs::File::from(master), &mut text);
    assert_eq!(text, "/dev/pts/0\r\n");
    scene
        .leave(["exec", "-d", "-t", "c", "tty"])
        .failure("--console-socket");
}

#[test]
fn exec_needs_a_container_that_runs() {
    let scene = Scene::new(WAITS);
    scene.create().success();
    scene
        .call(["exec", "c", "true"])
        .failure("which is created");
    scene.start().success();
    scene.call(["pause", "c"]).success();
    scene.call(["exec", "c", "true"]).failure("which is paused");
    scene.call(["resume", "c"]).success();
    scene.call(["exec", "c", "/no/such"]).failure("/no/such");
    scene.kill();
    scene
        .call(["exec", "c", "true"])
        .failure("which is stopped");
}

#[test]
fn a_paused_container_rests_until_it_is_resumed() {
    let scene = Scene::new("echo ready; while :; do echo x; sleep 0.01; done");
    scene.up();
    scene.call(["resume", "c"]).failure("which is running");
    scene.call(["pause", "c"]).success();
    assert_eq!(scene.status(), "paused");
    scene.call(["pause", "c"]).failure("which is paused");
    let before = scene.out().len();
    scene.call(["list"]).success();
    assert_eq!(scene.out().len(), before);
    scene.call(["resume", "c"]).success();
    wait_for("more", || scene.out().len() > before);
    scene.call(["pause", "c"]).success();
    scene.call(["kill", "c", "KILL"]).success();
    scene.await_status("stopped");
    scene.call(["resume", "c"]).failure("which is stopped");
}

#[test]
fn list_and_ps_show_what_is_there() {
    let scene = Scene::new(WAITS);
    assert_eq!(
        scene.call(["list", "--format", "json"]).success().stdout,
        "[]\n"
    );
    scene.up();
    let pid = scene.pid();
    let list: Value =
        serde_json::from_str(&scene.call(["list", "-f", "json"]).success().stdout).unwrap();
    assert_eq!(list[0]["id"], "c");
    assert_eq!(list[0]["pid"], json!(pid));
    assert_eq!(list[0]["status"], "running");
    assert_eq!(scene.call(["list", "-q"]).success().stdout, "c\n");
    let table = scene.call(["list"]).success().stdout;
    assert!(table.starts_with("ID   PID"), "{table}");
    let pids = scene.call(["ps", "--format", "json", "c"]).success().stdout;
    assert_eq!(pids, format!("[{pid}]\n"));
    let table = scene.call(["ps", "c"]).success().stdout;
    assert!(table.contains("sleep 600"), "{table}");
    let table = scene.call(["ps", "c", "-o", "pid,comm"]).success().stdout;
    assert!(
        table.contains(&pid.to_string()) && !table.contains("600"),
        "{table}"
    );
}

#[test]
fn limits_change_while_it_runs() {
    let scene = Scene::new(WAITS);
    scene.up();
    let memory = ["memory.limit_in_bytes", "memory.max"];
    scene
        .call(["update", "--memory", "64m", "--pids-limit", "50", "c"])
        .success();
    assert_eq!(scene.group_file(&memory).as_deref(), Some("67108864\n"));
    assert_eq!(scene.group_file(&["pids.max"]).as_deref(), Some("50\n"));
    let file = scene.path("limits.json");
    fs::write(&file, r#"{"memory": {"limit": 33554432}}"#).unwrap();
    scene
        .call(["update", "-r", file.to_str().unwrap(), "c"])
        .success();
    assert_eq!(scene.group_file(&memory).as_deref(), Some("33554432\n"));
    assert_eq!(scene.group_file(&["pids.max"]).as_deref(), Some("50\n"));
    scene
        .call(["update", "-r", "/nonexistent", "c"])
        .failure("/nonexistent");
    scene.kill();
    scene
        .call(["update", "--memory", "64m", "c"])
        .failure("which is stopped");
}

/// With version 1 of cgroups, a container has no folder where no limit asked for one.
#[test]
fn a_kind_of_limit_that_it_had_not_before_can_be_set() {
    let scene = Scene::new(WAITS);
    scene.up();
    scene.call(["update", "--cpuset-cpus", "0", "c"]).success();
    assert_eq!(scene.group_file(&["cpuset.cpus"]).as_deref(), Some("0\n"));
    let status = fs::read_to_string(format!("/proc/{}/status", scene.pid())).unwrap();
    assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
    scene.kill();
    scene.call(["delete", "c"]).success();
    scene.assert_gone();
}

#[test]
fn events_tell_what_it_uses() {
    let scene = Scene::new(WAITS);
    scene.up();
    let text = scene.call(["events", "--stats", "c"]).success().stdout;
    let event: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (event["type"].as_str(), event["id"].as_str()),
        (Some("stats"), Some("c"))
    );
    assert_eq!(event["data"]["pids"]["current"], 1);
    assert!(event["data"]["memory"]["usage"]["usage"].as_u64().unwrap() > 0);
    scene.kill();
    scene
        .call(["events", "--stats", "c"])
        .failure("which is stopped");
}

#[test]
fn events_tell_when_memory_runs_out() {
    let scene = Scene::new("read line; dd if=/dev/zero of=/dev/null bs=64M count=1; echo survived")
        .set("/linux/resources/memory", json!({"limit": 16_777_216}));
    let (input, mut keep) = std::os::unix::net::UnixStream::pair().unwrap();
    let input = std::os::fd::OwnedFd::from(input);
    let out = fs::File::create(scene.path("out")).unwrap();
    let mut create = scene.command(["create", "c"]);
    let status = create
        .stdin(input)
        .stdout(out)
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    scene.start().success();
    let mut events = scene
        .command(["events", "--interval", "50ms", "c"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(events.stdout.take().unwrap());
    let mut text = String::new();
    told.read_line(&mut text).unwrap();
    keep.write_all(b"go\n").unwrap();
    told.read_to_string(&mut text).unwrap();
    events.wait().unwrap();
    assert!(text.contains(r#""type":"oom""#), "{text}\n{}", scene.out());
}

#[test]
fn features_are_told_without_a_container() {
    let text = Scene::new("").call(["features"]).success().stdout;
    let features: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(features["ociVersionMin"], "1.0.0");
    assert_eq!(features["hooks"].as_array().unwrap().len(), 6);
    assert_eq!(features["linux"]["cgroup"]["systemd"], false);
}

#[test]
fn a_configuration_to_begin_with_runs() {
    let scene = Scene::new("");
    let bundle = scene.path("bundle");
    let path = bundle.join("config.json");
    drop(scene.command(["state", "c"]));
    fs::remove_file(&path).unwrap();
    let runtime = |args: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_keel"))
            .args(["runtime", "--root"])
            .arg(scene.root())
            .args(args)
            .current_dir(&bundle)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    assert!(runtime(&["spec"]).status.success());
    let again = runtime(&["spec"]);
    assert_eq!(again.status.code(), Some(1), "an old one was overwritten");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/bin/echo", "it runs"]);
    // The root file system has no folders for them, and is read-only.
    for folder in ["proc", "dev", "sys"] {
        fs::create_dir(scene.rootfs().join(folder)).unwrap();
    }
    fs::write(&path, config.to_string()).unwrap();
    let output = runtime(&["run", "c"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "it runs\n",
        "{output:?}"
    );
}
