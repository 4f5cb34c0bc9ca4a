//! Flags of `run` and `create` that shape what a container sees.

use serde_json::json;

use super::Keel;
use super::keel::IMAGE;

#[test]
fn variables_and_labels_come_from_files_and_the_command_line_wins() {
    let keel = Keel::new();
    let path = |name: &str, text: &str| {
        let path = keel.host_folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let env = path("env", "# remark\nA=file\nB=file\n");
    let labels = path("labels", "tier=file\nkind=file\n");
    let said = keel
        .sh(&["--env-file", &env, "-e", "A=flag"], "echo $A $B")
        .success();
    assert_eq!(said, "flag file\n");
    let flags = [
        "create",
        "--name",
        "job",
        "--label-file",
        &labels,
        "--label",
        "tier=flag",
    ];
    keel.call(flags.into_iter().chain([IMAGE, "true"]))
        .success();
    let labels = &keel.inspect("job")["Config"]["Labels"];
    assert_eq!(labels, &json!({"kind": "file", "tier": "flag"}));
    let refusal = keel
        .call(["run", "--env-file", "/nope", IMAGE, "true"])
        .failure(125);
    assert!(refusal.contains("/nope"), "{refusal}");
}

#[test]
fn the_id_is_written_into_a_file_that_must_be_new() {
    let keel = Keel::new();
    let path = keel.host_folder().join("cid");
    let file = path.to_str().unwrap();
    let id = keel
        .call(["create", "--cidfile", file, IMAGE, "true"])
        .success();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), id.trim_end());
    let refusal = keel
        .call(["create", "--cidfile", file, IMAGE, "true"])
        .failure(125);
    assert!(refusal.contains(file), "{refusal}");
    std::fs::remove_file(&path).unwrap();
    // One that could not be made leaves none.
    keel.call(["create", "--name", "web", IMAGE, "true"])
        .success();
    keel.call(["create", "--name", "web", "--cidfile", file, IMAGE, "true"])
        .failure(125);
    assert!(!path.exists());
}

#[test]
fn its_own_files_say_what_was_asked_for() {
    let keel = Keel::new();
    let flags = [
        "--add-host",
        "db:10.0.0.7",
        "--add-host",
        "six=[fe80::1]",
        "--dns",
        "10.0.0.1",
        "--dns-search",
        "example.test",
        "--dns-option",
        "ndots:2",
    ];
    let said = keel.sh(&flags, "cat /etc/hosts /etc/resolv.conf").success();
    let lines: Vec<&str> = said.lines().collect();
    for wanted in [
        "10.0.0.7\tdb",
        "fe80::1\tsix",
        "nameserver 10.0.0.1",
        "search example.test",
        "options ndots:2",
    ] {
        assert!(lines.contains(&wanted), "{wanted}: {said}");
    }
    let servers = lines.iter().filter(|line| line.starts_with("nameserver"));
    assert_eq!(servers.count(), 1, "{said}");
}

#[test]
fn groups_names_and_parameters_are_its_own() {
    let keel = Keel::new();
    let flags = [
        "--user",
        "33",
        "--group-add",
        "logs",
        "--group-add",
        "77",
        "--domainname",
        "yard",
        "--sysctl",
        "kernel.msgmax=4096",
        "--oom-score-adj",
        "500",
    ];
    let script = "id -G; cat /proc/sys/kernel/domainname /proc/sys/kernel/msgmax \
                  /proc/self/oom_score_adj";
    let said = keel.sh(&flags, script).success();
    assert_eq!(said, "34 40 77\nyard\n4096\n500\n");
    let refusal = keel.sh(&["--group-add", "nobodys"], "true").failure(125);
    assert!(refusal.contains("nobodys"), "{refusal}");
    let refusal = keel
        .sh(&["--sysctl", "vm.swappiness=1"], "true")
        .failure(125);
    assert!(refusal.contains("vm.swappiness"), "{refusal}");
}

#[test]
fn a_container_that_was_given_time_to_end_has_it() {
    let keel = Keel::new();
    let script = "trap '' TERM; echo ready; while :; do sleep 1000 & wait; done";
    keel.start("web", &["--stop-timeout", "0"], script);
    keel.call(["stop", "web"]).success();
    let all = keel.inspect("web");
    assert_eq!(all["State"]["ExitCode"], 137);
    assert_eq!(all["Config"]["StopTimeout"], 0);
}

#[test]
fn limits_of_processors_and_memory_are_those_of_the_kernel() {
    let keel = Keel::new();
    let flags = [
        "--cpuset-cpus",
        "0",
        "--cpu-quota",
        "50000",
        "--cpu-period",
        "100000",
        "--memory",
        "64m",
        "--memory-reservation",
        "32m",
    ];
    keel.start_idle("web", &flags);
    assert_eq!(keel.status("web", "Cpus_allowed_list"), "0");
    let host = &keel.inspect("web")["HostConfig"];
    assert_eq!(host["CpuQuota"], 50_000);
    assert_eq!(host["MemoryReservation"], 32 << 20);
    let refusal = keel
        .call(["run", "--cpus", "1", "--cpu-quota", "1000", IMAGE, "true"])
        .failure(125);
    assert!(refusal.contains("--cpu-quota"), "{refusal}");
}
