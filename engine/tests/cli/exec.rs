//! `keel exec`.

use super::Keel;

#[test]
fn a_command_joins_the_container() {
    let keel = Keel::new();
    keel.start_idle("web", &["--hostname", "boat", "-e", "A=1"]);
    let script = "echo $A $B $(hostname); exit 9";
    let answer = keel.call(["exec", "-e", "B=2", "web", "sh", "-c", script]);
    assert_eq!(
        (answer.code, answer.stdout.as_str()),
        (Some(9), "1 2 boat\n")
    );
}

#[test]
fn a_command_is_held_as_the_container_is() {
    let keel = Keel::new();
    keel.start_idle("web", &["--cap-drop", "ALL", "--cap-add", "KILL"]);
    let own = |field: &str| {
        let said = keel
            .call([
                "exec",
                "web",
                "grep",
                &format!("{field}:"),
                "/proc/self/status",
            ])
            .success();
        said.split_once(':').unwrap().1.trim().to_owned()
    };
    for field in ["CapEff", "CapBnd", "NoNewPrivs", "Seccomp"] {
        assert_eq!(own(field), keel.status("web", field), "{field}");
    }
    let groups = |said: String| said.lines().map(str::to_owned).collect::<Vec<_>>();
    let first = groups(
        keel.call(["exec", "web", "cat", "/proc/1/cgroup"])
            .success(),
    );
    let own = groups(
        keel.call(["exec", "web", "cat", "/proc/self/cgroup"])
            .success(),
    );
    assert_eq!(own, first);
}

#[test]
fn a_privileged_command_has_every_capability() {
    let keel = Keel::new();
    keel.start_idle("web", &[]);
    let script = "grep CapEff /proc/self/status";
    let plain = keel.call(["exec", "web", "sh", "-c", script]).success();
    let privileged = keel
        .call(["exec", "--privileged", "web", "sh", "-c", script])
        .success();
    assert_eq!(plain.trim(), "CapEff:\t00000000a80425fb");
    assert_ne!(privileged, plain);
}

#[test]
fn user_and_folder_are_as_asked() {
    let keel = Keel::new();
    keel.start_idle("web", &[]);
    let script = "echo $(id -u):$(id -g) $(pwd) $HOME";
    let said = keel
        .call(["exec", "-u", "web", "-w", "/tmp", "web", "sh", "-c", script])
        .success();
    assert_eq!(said, "33:34 /tmp /srv\n");
}

#[test]
fn exit_codes_are_those_of_run() {
    let keel = Keel::new();
    keel.start_idle("web", &[]);
    keel.call(["exec", "web", "/nope"]).failure(127);
    keel.call(["exec", "web", "/etc/plain"]).failure(126);
    assert_eq!(
        keel.call(["exec", "web", "sh", "-c", "kill -9 $$"]).code,
        Some(137)
    );
    keel.call(["stop", "web"]).success();
    let refusal = keel.call(["exec", "web", "true"]).failure(1);
    assert!(refusal.contains("not running"), "{refusal}");
}

#[test]
fn a_detached_command_is_not_waited_for() {
    let keel = Keel::new();
    keel.start(
        "web",
        &[],
        "mkdir /run; echo ready; while ! [ -e /run/told ]; do sleep 0.01; done; echo told",
    );
    assert_eq!(
        keel.call(["exec", "-d", "web", "touch", "/run/told"])
            .success(),
        ""
    );
    assert_eq!(keel.call(["wait", "web"]).success(), "0\n");
    assert_eq!(keel.call(["logs", "web"]).stdout, "ready\ntold\n");
}
