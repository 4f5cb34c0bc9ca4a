//! What keeps a container away from the host.

use super::Keel;

#[test]
fn a_container_has_namespaces_of_its_own() {
    let keel = Keel::new();
    keel.start_idle("web", &[]);
    let pid = keel.pid("web");
    for kind in ["pid", "mnt", "uts", "ipc", "net", "cgroup"] {
        let theirs = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        let ours = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_ne!(theirs, ours, "{kind}");
    }
    assert_eq!(
        keel.call(["exec", "web", "sh", "-c", "ip -o link | grep -c ."])
            .success(),
        "1\n"
    );
}

#[test]
fn privileges_are_dockers_default_and_cannot_grow() {
    let keel = Keel::new();
    keel.start_idle("web", &[]);
    for (field, value) in [
        ("CapEff", "00000000a80425fb"),
        ("CapPrm", "00000000a80425fb"),
        ("CapBnd", "00000000a80425fb"),
        ("CapInh", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        assert_eq!(keel.status("web", field), value, "{field}");
    }
}

#[test]
fn capabilities_are_added_and_dropped_by_name() {
    let keel = Keel::new();
    keel.start_idle(
        "few",
        &[
            "--cap-drop",
            "ALL",
            "--cap-add",
            "CAP_CHOWN",
            "--cap-add",
            "kill",
        ],
    );
    assert_eq!(keel.status("few", "CapEff"), "0000000000000021");
    keel.start_idle("other", &["-u", "web"]);
    assert_eq!(keel.status("other", "CapEff"), "0000000000000000");
    assert_eq!(keel.status("other", "Uid"), "33\t33\t33\t33");
}

#[test]
fn a_privileged_container_is_not_held() {
    let keel = Keel::new();
    keel.start_idle("all", &["--privileged"]);
    assert_eq!(keel.status("all", "NoNewPrivs"), "0");
    // As this test is itself, with all that this machine has to give.
    for field in ["Seccomp", "CapEff"] {
        let ours = super::keel::status_of(std::process::id(), field);
        assert_eq!(keel.status("all", field), ours, "{field}");
    }
}

#[test]
fn security_options_do_what_they_say() {
    let keel = Keel::new();
    let flags = [
        "--security-opt",
        "seccomp=unconfined",
        "--security-opt",
        "no-new-privileges=false",
    ];
    keel.start_idle("open", &flags);
    let ours = super::keel::status_of(std::process::id(), "Seccomp");
    assert_eq!(keel.status("open", "Seccomp"), ours);
    assert_eq!(keel.status("open", "NoNewPrivs"), "0");
    let profile = keel.host_folder().join("profile.json");
    let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
        {"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}"#;
    std::fs::write(&profile, text).unwrap();
    let option = format!("seccomp={}", profile.display());
    let answer = keel.sh(&["--security-opt", &option], "touch /fine; mkdir /x");
    assert!(answer.stderr.contains("not implemented"), "{answer:?}");
}

#[test]
fn what_tells_of_the_host_is_hidden_and_what_changes_it_is_read_only() {
    let keel = Keel::new();
    let answer = keel.sh(
        &[],
        "cat /proc/kcore /proc/timer_list; ls /sys/firmware /proc/acpi 2>/dev/null | grep -v :",
    );
    assert_eq!(answer.stdout.trim(), "", "{answer:?}");
    for file in [
        "/proc/sys/kernel/domainname",
        "/proc/sysrq-trigger",
        "/sys/kernel/uevent_helper",
    ] {
        let answer = keel.sh(&[], &format!("echo h > {file}"));
        assert_ne!(answer.code, Some(0), "{file}: {answer:?}");
    }
}

#[test]
fn dangerous_calls_are_refused() {
    let keel = Keel::new();
    let answer = keel.sh(&[], "mount -t tmpfs none /tmp");
    assert_ne!(answer.code, Some(0));
    let answer = keel.sh(
        &["--cap-add", "SYS_ADMIN"],
        "mount -t tmpfs none /tmp && umount /tmp",
    );
    answer.success();
}

#[test]
fn a_container_does_not_inherit_descriptors() {
    let keel = Keel::new();
    // 3 is the folder that `ls` reads.
    let said = keel
        .call(["run", "--rm", super::keel::IMAGE, "ls", "/proc/self/fd"])
        .success();
    assert_eq!(said, "0\n1\n2\n3\n");
}

#[test]
fn a_folder_as_standard_output_is_no_way_out() {
    let keel = Keel::new();
    let root = std::fs::File::open("/").unwrap();
    let output = keel
        .command(["run", "--rm", super::keel::IMAGE, "ls", "/proc/self/fd/1/"])
        .stdout(root)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
}
