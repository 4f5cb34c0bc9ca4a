//! Namespaces, root, mounts, devices.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use serde_json::json;

use crate::scene::Scene;

#[test]
fn every_namespace_of_the_spec_is_its_own() {
    let mut running = Scene::new("echo up; exec sleep 60").start();
    running.line();
    for name in ["pid", "mnt", "uts", "ipc", "net", "cgroup"] {
        let host = fs::read_link(format!("/proc/self/ns/{name}")).expect("our own");
        assert_ne!(running.namespace(name), host, "{name}");
    }
    assert!(
        running
            .proc_text("status")
            .lines()
            .any(|line| line.starts_with("NSpid:") && line.ends_with("\t1"))
    );
}

#[test]
fn the_hosts_mounts_are_gone_and_its_root_with_them() {
    let scene = Scene::new("echo up; exec sleep 60");
    let mut running = scene.start();
    running.line();
    let table = running.proc_text("mountinfo");
    let points: Vec<_> = table
        .lines()
        .map(|line| line.split(' ').nth(4).expect("a mount point"))
        .collect();
    assert_eq!(points[0], "/");
    for point in &points[1..] {
        assert!(
            ["/proc", "/sys", "/dev"]
                .iter()
                .any(|top| point.starts_with(top)),
            "{point}"
        );
    }
    let root = fs::metadata(running.proc("root")).expect("its root");
    assert_eq!(
        root.ino(),
        fs::metadata(scene.rootfs()).expect("the rootfs").ino()
    );
}

#[test]
fn no_mount_of_the_container_shows_on_the_host() {
    let scene = Scene::new("echo up; exec sleep 60");
    let mut running = scene.start();
    running.line();
    let host = fs::read_to_string("/proc/self/mountinfo").expect("our own");
    assert!(!host.contains(scene.rootfs().to_str().expect("text")));
}

#[test]
fn loopback_is_up_and_nothing_else_is_there() {
    let mut running = Scene::new("echo up; exec sleep 60").start();
    running.line();
    let devices = running.proc_text("net/dev");
    assert_eq!(
        devices
            .lines()
            .skip(2)
            .filter(|line| !line.trim().starts_with("lo:"))
            .count(),
        0,
        "{devices}"
    );
    assert!(running.proc_text("net/fib_trie").contains("127.0.0.1"));
}

#[test]
fn default_devices_and_links_are_there() {
    let mut running = Scene::new("echo up; exec sleep 60").start();
    running.line();
    let dev = running.proc("root/dev");
    for (name, major, minor) in [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    ] {
        let metadata = fs::metadata(dev.join(name)).expect(name);
        assert!(metadata.file_type().is_char_device(), "{name}");
        assert_eq!(
            metadata.rdev(),
            nix::sys::stat::makedev(major, minor),
            "{name}"
        );
        assert_eq!(metadata.mode() & 0o7777, 0o666, "{name}");
    }
    assert_eq!(
        fs::read_link(dev.join("fd")).expect("fd").to_str(),
        Some("/proc/self/fd")
    );
    assert_eq!(
        fs::read_link(dev.join("ptmx")).expect("ptmx").to_str(),
        Some("pts/ptmx")
    );
}

#[test]
fn masked_paths_are_empty_and_readonly_paths_cannot_be_written() {
    let output = Scene::new(
        "cat /proc/timer_list | grep -c . ; ls /sys/firmware | grep -c . ; \
         echo 1 > /proc/sys/kernel/panic || echo refused; true",
    )
    .output();
    assert!(output.starts_with("0\n0\n"), "{output}");
    assert!(
        output.contains("Read-only file system") && output.ends_with("refused\n"),
        "{output}"
    );
}

#[test]
fn a_readonly_root_refuses_writes_but_its_tmpfs_do_not() {
    let output = Scene::new("touch /x || echo refused; touch /dev/shm/x && echo written")
        .set("/root/readonly", json!(true))
        .output();
    assert!(output.ends_with("refused\nwritten\n"), "{output}");
}

#[test]
fn volumes_are_bound_with_their_options() {
    let scene = Scene::new("cat /data/file; touch /data/x || echo refused; cat /single");
    let host = scene.host("volume");
    fs::write(host.join("file"), "content\n").expect("a file");
    let output = scene
        .mount(json!({"destination": "/data", "type": "bind", "source": host, "options": ["rbind", "ro", "nosuid"]}))
        .mount(json!({"destination": "/single", "source": host.join("file"), "options": ["bind"]}))
        .output();
    assert!(
        output.starts_with("content\n") && output.ends_with("refused\ncontent\n"),
        "{output}"
    );
}

#[test]
fn host_names_are_the_containers_own() {
    let before = nix::unistd::gethostname().expect("ours");
    let mut running = Scene::new("hostname; exec sleep 60").start();
    assert_eq!(running.line(), "keel-test");
    assert_eq!(nix::unistd::gethostname().expect("ours"), before);
}

#[test]
fn kernel_parameters_of_its_namespaces_are_set_and_others_refused() {
    let scene = Scene::new("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax");
    let output = scene
        .set(
            "/linux/sysctl",
            json!({"net.ipv4.ip_forward": "1", "kernel.msgmax": "4242"}),
        )
        .output();
    assert_eq!(output, "1\n4242\n");
    let error = Scene::new("true")
        .set("/linux/sysctl", json!({"kernel.panic": "1"}))
        .refusal();
    assert!(error.to_string().contains("kernel.panic"), "{error}");
}

#[test]
fn without_a_network_namespace_the_hosts_is_shared() {
    let scene = Scene::new("echo up; exec sleep 60");
    let scene = scene.set("/linux/namespaces", json!([{"type": "pid"}, {"type": "mount"}, {"type": "cgroup"}, {"type": "uts"}, {"type": "ipc"}]));
    let mut running = scene.start();
    running.line();
    assert_eq!(
        running.namespace("net"),
        fs::read_link("/proc/self/ns/net").expect("ours")
    );
}

#[test]
fn a_network_namespace_can_be_joined() {
    let mut first = Scene::new("echo up; exec sleep 60").start();
    first.line();
    let scene = Scene::new("echo up; exec sleep 60").set(
        "/linux/namespaces",
        json!([{"type": "pid"}, {"type": "mount"}, {"type": "cgroup"}, {"type": "uts"}, {"type": "ipc"},
               {"type": "network", "path": first.proc("ns/net")}]),
    );
    let mut second = scene.start();
    second.line();
    assert_eq!(first.namespace("net"), second.namespace("net"));
}
