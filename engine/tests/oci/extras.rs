//! What few bundles ask of their process.

use std::fs;

use serde_json::json;

use crate::scene::Scene;

#[test]
fn the_personality_is_that_of_32_bits() {
    let scene = Scene::new("uname -m").set("/linux/personality", json!({"domain": "LINUX32"}));
    let machine = scene.run().success().stdout;
    assert_eq!(machine, "i686\n");
    Scene::new("")
        .set(
            "/linux/personality",
            json!({"domain": "LINUX", "flags": ["x"]}),
        )
        .create()
        .failure("linux.personality.flags");
}

#[test]
fn the_process_is_scheduled_as_asked() {
    let scene = Scene::new("echo ready; sleep 600")
        .set(
            "/process/scheduler",
            json!({"policy": "SCHED_BATCH", "nice": 7}),
        )
        .set(
            "/process/ioPriority",
            json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0}),
        );
    scene.up();
    let stat = fs::read_to_string(format!("/proc/{}/stat", scene.pid())).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // proc(5): nice is field 19, policy 41; the first here is field 3.
    assert_eq!((fields[19 - 3], fields[41 - 3]), ("7", "3"), "{stat}");
    let shown = std::process::Command::new("ionice")
        .args(["-p", &scene.pid().to_string()])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "idle\n");
}

#[test]
fn scheduling_that_the_kernel_refuses_is_told() {
    let scene = Scene::new("true").set(
        "/process/scheduler",
        json!({"policy": "SCHED_FIFO", "priority": 1000}),
    );
    scene.create().success();
    scene.start().failure("set the scheduling");
}

/// A label that nobody enforces would only look like one.
#[test]
fn labels_are_refused_where_nobody_enforces_them() {
    let apparmor = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    if !apparmor.is_ok_and(|text| text.starts_with('Y')) {
        let scene = Scene::new("true").set("/process/apparmorProfile", json!("web"));
        scene.create().failure("without AppArmor");
        scene.assert_gone();
    }
    if !std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        for member in ["/process/selinuxLabel", "/linux/mountLabel"] {
            let scene = Scene::new("true").set(member, json!("system_u:system_r:x:s0"));
            scene.create().failure("without SELinux");
            scene.assert_gone();
        }
    }
    let scene = Scene::new("true").set("/process/apparmorProfile", json!("unconfined"));
    scene.run().success();
}

#[test]
fn what_is_not_done_is_refused_by_name() {
    for (member, value) in [
        ("/linux/intelRdt", json!({"closID": "x"})),
        ("/linux/netDevices", json!({"eth0": {}})),
    ] {
        let scene = Scene::new("true").set(member, value);
        scene.create().failure(&member[1..].replace('/', "."));
        scene.assert_gone();
    }
}
