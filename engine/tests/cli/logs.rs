//! Log drivers, and `keel logs`.

use std::io::Read as _;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::time::Duration;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::Keel;
use super::keel::{IMAGE, list};

/// Long enough for any machine; a test that waits so long has failed.
const DEADLINE: Duration = Duration::from_secs(120);

fn run(keel: &Keel, flags: &[&str], script: &str) {
    let before = ["run", "--name", "job"];
    let command = [IMAGE, "sh", "-c", script];
    let all = before.iter().chain(flags).chain(&command).copied();
    keel.call(all).success();
}

fn files(keel: &Keel) -> Vec<PathBuf> {
    let mut folders = list(&keel.root().join("containers")).into_iter();
    let folder = folders.find(|path| path.is_dir()).unwrap();
    let mut files = list(&folder);
    files.retain(|path| path.to_str().unwrap().contains("/log.ndjson"));
    files.sort();
    files
}

const COUNT: &str = "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done";

#[test]
fn rotated_files_are_bounded_and_shown_as_one_log() {
    let keel = Keel::new();
    for detached in [&["-d"][..], &[]] {
        let limits = ["--log-opt", "max-size=2k", "--log-opt", "max-file=3"];
        run(&keel, &[detached, &limits].concat(), COUNT);
        keel.call(["wait", "job"]).success();
        let files = files(&keel);
        assert_eq!(files.len(), 3, "{files:?}");
        for file in files {
            assert!(std::fs::metadata(&file).unwrap().len() < 2300, "{file:?}");
        }
        let shown = keel.call(["logs", "job"]).stdout;
        let lines: Vec<&str> = shown.lines().collect();
        let first: usize = lines[0].trim_start_matches("line ").parse().unwrap();
        assert!(first > 100, "{first}");
        let expected: Vec<String> = (first..300).map(|i| format!("line {i}")).collect();
        assert_eq!(lines, expected);
        let last = keel.call(["logs", "--tail", "2", "job"]).stdout;
        assert_eq!(last, "line 298\nline 299\n");
        keel.call(["rm", "job"]).success();
    }
}

#[test]
fn a_log_is_followed_across_files() {
    let keel = Keel::new();
    let limits = ["--log-opt", "max-size=2k", "--log-opt", "max-file=100"];
    let script = format!("read x; {COUNT}");
    keel.call(
        ["run", "-d", "-i", "--name", "job"]
            .into_iter()
            .chain(limits)
            .chain([IMAGE, "sh", "-c", &script]),
    )
    .success();
    let follower = keel
        .command(["logs", "-f", "job"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut typist = keel
        .command(["attach", "job"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut typist.stdin.take().unwrap(), b"go\n").unwrap();
    let (code, said) = super::keel::collect(follower);
    assert_eq!((code, said.lines().count()), (Some(0), 300));
    typist.wait().unwrap();
}

#[test]
fn lines_have_dockers_fields_and_what_was_asked_for_beside_them() {
    let keel = Keel::new();
    let flags = [
        "--label",
        "tier=front",
        "-e",
        "LEVEL=3",
        "--log-opt",
        "labels=tier,none",
        "--log-opt",
        "env=LEVEL",
        "--log-opt",
        "tag={{.Name}}/{{.ImageName}}",
    ];
    run(&keel, &flags, "echo said; echo aside >&2");
    let text = std::fs::read_to_string(&files(&keel)[0]).unwrap();
    let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(line["log"], "said\n");
    assert_eq!(line["stream"], "stdout");
    assert_eq!(
        line["attrs"],
        json!({"LEVEL": "3", "tag": "job/small", "tier": "front"})
    );
    assert!(
        text.starts_with(r#"{"log":"said\n","stream":"stdout","attrs":{"#),
        "{text}"
    );
    let shown = keel.call(["logs", "--details", "job"]);
    assert_eq!(shown.stdout, "LEVEL=3,tag=job/small,tier=front said\n");
    assert_eq!(shown.stderr, "LEVEL=3,tag=job/small,tier=front aside\n");
    let config = &keel.inspect("job")["HostConfig"]["LogConfig"];
    assert_eq!(config["Type"], "json-file");
    assert_eq!(config["Config"]["labels"], "tier,none");
}

#[test]
fn lines_are_chosen_by_their_time() {
    let keel = Keel::new();
    run(&keel, &[], "echo one; sleep 0.01; echo two");
    let stamped = keel.call(["logs", "-t", "job"]).stdout;
    let time = stamped.lines().nth(1).unwrap().split(' ').next().unwrap();
    let logs = |flags: &[&str]| {
        let all = ["logs"].iter().chain(flags).chain(&["job"]).copied();
        keel.call(all).stdout
    };
    assert_eq!(logs(&["--since", time]), "two\n");
    assert_eq!(logs(&["--until", time]), "one\n");
    assert_eq!(logs(&["--since", "1h"]), "one\ntwo\n");
    assert_eq!(logs(&["--until", "1h"]), "");
    assert_eq!(logs(&["--tail", "all"]), "one\ntwo\n");
}

#[test]
fn syslog_gets_messages() {
    let keel = Keel::new();
    let path = keel.host_folder().join("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let address = format!("syslog-address=unixgram://{}", path.display());
    let flags = [
        "--log-driver",
        "syslog",
        "--log-opt",
        &address,
        "--log-opt",
        "syslog-facility=local0",
        "--log-opt",
        "tag=web",
    ];
    run(
        &keel,
        &[&["-d"][..], &flags].concat(),
        "echo said; echo aside >&2",
    );
    let mut messages: Vec<String> = (0..2)
        .map(|_| {
            let mut message = [0; 1024];
            let length = socket.recv(&mut message).unwrap();
            String::from_utf8(message[..length].to_vec()).unwrap()
        })
        .collect();
    messages.sort();
    let ends = |message: &str, priority: &str, end: &str| {
        assert!(
            message.starts_with(priority) && message.ends_with(end),
            "{message}"
        );
        assert!(message.contains(" web["), "{message}");
    };
    ends(&messages[0], "<131>", "]: aside");
    ends(&messages[1], "<134>", "]: said");
    keel.call(["wait", "job"]).success();
    let refusal = keel.call(["logs", "job"]).failure(1);
    assert!(refusal.contains("`syslog`"), "{refusal}");
}

#[test]
fn syslog_gets_lines_through_a_stream() {
    let keel = Keel::new();
    let path = keel.host_folder().join("log");
    let listener = UnixListener::bind(&path).unwrap();
    let address = format!("syslog-address=unix://{}", path.display());
    let flags = ["--log-driver", "syslog", "--log-opt", &address];
    let format = ["--log-opt", "syslog-format=rfc5424"];
    let reader = std::thread::spawn(move || {
        // The first connection only finds out whether somebody is there.
        drop(listener.accept().unwrap());
        let (mut stream, _) = listener.accept().unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    });
    run(&keel, &[&flags[..], &format].concat(), "echo one; echo two");
    let said = reader.join().unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(
        lines[0].starts_with("<30>1 ") && lines[0].ends_with(" - one"),
        "{said}"
    );
}

#[test]
fn the_journal_gets_fields() {
    let keel = Keel::new();
    let path = keel.host_folder().join("journal");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let address = format!("journald-address=unixgram://{}", path.display());
    let flags = ["--log-driver", "journald", "--log-opt", &address];
    let more = ["--label", "my.tier=front", "--log-opt", "labels=my.tier"];
    run(&keel, &[&["-d"][..], &flags, &more].concat(), "echo said");
    let mut message = [0; 4096];
    let length = socket.recv(&mut message).unwrap();
    let message = String::from_utf8(message[..length].to_vec()).unwrap();
    let lines: Vec<&str> = message.lines().collect();
    for wanted in [
        "PRIORITY=6",
        "MESSAGE=said",
        "CONTAINER_NAME=job",
        "IMAGE_NAME=small",
        "MY_TIER=front",
    ] {
        assert!(lines.contains(&wanted), "{wanted}: {message}");
    }
    keel.call(["wait", "job"]).success();
}

#[test]
fn a_log_that_nobody_takes_or_that_is_none() {
    let keel = Keel::new();
    let address = "syslog-address=unixgram:///nowhere/at/all";
    let nowhere = ["--log-driver", "syslog", "--log-opt", address];
    for detached in [&["run", "-d"][..], &["run"]] {
        let all = detached
            .iter()
            .chain(&nowhere)
            .chain(&["--name", "job", IMAGE, "true"]);
        let refusal = keel.call(all.copied()).failure(125);
        assert!(refusal.contains("/nowhere/at/all"), "{refusal}");
        keel.call(["rm", "job"]).success();
    }
    run(&keel, &["--log-driver", "none"], "echo said");
    assert_eq!(files(&keel), [""; 0].map(PathBuf::from));
    assert_snapshot!(keel.call(["logs", "job"]).failure(1), @"keel: the log driver of container `job` is `none`, which keel cannot read back; look where it writes to");
    let refusal = keel
        .call(["run", "--log-opt", "max-size=lots", IMAGE, "true"])
        .failure(125);
    assert!(
        refusal.contains("max-size") || refusal.contains("`lots`"),
        "{refusal}"
    );
}
