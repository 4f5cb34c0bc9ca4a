//! Hooks: their order, what they see, and what their failure means.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::scene::Scene;

/// A hook of the host that adds a line to the file `trace`: its point, and the status it reads.
fn host_hook(scene: &Scene, point: &str, then: &str) -> Value {
    let trace = scene.path("trace");
    let script = format!(
        "state=$(cat); echo {point} $(echo \"$state\" | grep -o '\"status\":\"[a-z]*\"' | cut -d'\"' -f4) \
         $(readlink /proc/self/ns/uts) >> {}; echo \"$state\" > {}; {then}",
        trace.display(),
        scene.path(point).display()
    );
    json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]})
}

fn trace(scene: &Scene) -> Vec<(String, String, String)> {
    let text = fs::read_to_string(scene.path("trace")).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        (next(), next(), next())
    };
    text.lines().map(line).collect()
}

const POINTS: [&str; 5] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "poststart",
    "poststop",
];

fn with_hooks(scene: Scene, then: impl Fn(&str) -> &'static str) -> Scene {
    let mut scene = scene;
    for point in POINTS {
        let hook = host_hook(&scene, point, then(point));
        scene = scene.set(&format!("/hooks/{point}"), json!([hook]));
    }
    let inside = json!([{"path": "/bin/sh", "args": ["sh", "-c", "cat > /state; pwd > /where"]}]);
    scene.set("/hooks/startContainer", inside)
}

#[test]
fn hooks_run_in_their_order_and_read_the_state() {
    let scene = with_hooks(Scene::new("echo ready; cat /where; sleep 600"), |_| "");
    let scene = scene.set("/annotations", json!({"a": "b"}));
    let host = fs::read_link("/proc/self/ns/uts").unwrap();
    let host = host.to_str().unwrap();
    scene.create().success();
    let pid = scene.pid();
    let names = |scene: &Scene| -> Vec<String> {
        trace(scene)
            .into_iter()
            .map(|(point, status, _)| format!("{point} {status}"))
            .collect()
    };
    assert_eq!(
        names(&scene),
        [
            "prestart creating",
            "createRuntime creating",
            "createContainer creating"
        ]
    );
    let place = |index: usize| trace(&scene)[index].2.clone();
    assert_eq!((place(0).as_str(), place(1).as_str()), (host, host));
    let own = fs::read_link(format!("/proc/{pid}/ns/uts")).unwrap();
    assert_eq!(place(2), own.to_str().unwrap());
    assert!(!scene.rootfs().join("state").exists(), "before the start");
    scene.start().success();
    assert_eq!(names(&scene)[3..], ["poststart running"]);
    scene.kill();
    scene.call(["delete", "c"]).success();
    assert_eq!(names(&scene)[4..], ["poststop stopped"]);
    let read = |path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    for point in &POINTS[..4] {
        let state = read(scene.path(point));
        assert_eq!(state["pid"], json!(pid), "{point}");
        assert_eq!(state["id"], "c");
        assert_eq!(state["bundle"], json!(scene.path("bundle")));
        assert_eq!(state["annotations"], json!({"a": "b"}));
    }
    let inside = read(scene.rootfs().join("state"));
    assert_eq!(inside["status"], "created");
    assert_eq!(inside["pid"], json!(pid));
    assert!(scene.out().contains("\n/\n"), "{}", scene.out());
}

#[test]
fn a_failing_hook_before_the_start_ends_the_container_and_the_last_hooks_run() {
    for point in ["prestart", "createRuntime", "createContainer"] {
        let scene = with_hooks(Scene::new("echo ran"), |at| {
            if at == point { "exit 3" } else { "" }
        });
        scene
            .create()
            .failure(&format!("{point} hook /bin/sh exited with code 3"));
        let names: Vec<_> = trace(&scene).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names.last().unwrap(), "poststop", "{names:?}");
        assert_eq!(names[names.len() - 2], point, "{names:?}");
        scene.assert_gone();
    }
}

#[test]
fn a_failing_hook_at_the_start_stops_the_container() {
    let scene = Scene::new("echo ran").set(
        "/hooks/startContainer",
        json!([{"path": "/bin/true"}, {"path": "/bin/false"}]),
    );
    scene.create().success();
    scene
        .start()
        .failure("startContainer hook /bin/false exited with code 1");
    assert_eq!(scene.status(), "stopped");
    assert_eq!(scene.out(), "");
    let scene = with_hooks(Scene::new("sleep 600"), |at| {
        if at == "poststart" { "exit 4" } else { "" }
    });
    scene.create().success();
    scene.start().failure("exited with code 4");
    assert_eq!(scene.status(), "stopped");
}

#[test]
fn a_failing_hook_behind_the_end_is_told_and_changes_nothing() {
    let scene = with_hooks(Scene::new("true"), |at| {
        if at == "poststop" { "exit 5" } else { "" }
    });
    let answer = scene.run().success();
    assert!(answer.stderr.contains("exited with code 5"), "{answer:#?}");
    scene.assert_gone();
}

#[test]
fn a_hook_that_hangs_is_killed_when_its_time_is_over() {
    let scene = Scene::new("true").set(
        "/hooks/createRuntime",
        json!([{"path": "/bin/sleep", "args": ["sleep", "600"], "timeout": 1}]),
    );
    scene.create().failure("longer than its timeout");
    scene.assert_gone();
}

/// CVE-2019-5736, by way of a hook: the engine's own binary would be open to the container.
#[test]
fn a_hook_in_the_container_is_never_the_engine() {
    let scene = Scene::new("true");
    let script = scene.rootfs().join("bin/hook");
    fs::write(&script, "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    for path in ["/proc/self/exe", "/bin/hook"] {
        let scene = Scene::new("true").set("/hooks/startContainer", json!([{"path": path}]));
        fs::copy(&script, scene.rootfs().join("bin/hook")).unwrap();
        scene.create().success();
        scene.start().failure("Permission denied");
    }
}

#[test]
fn hooks_that_cannot_be_run_are_refused_before_anything_is_made() {
    for hook in [
        json!({"path": "bin/true"}),
        json!({"path": "/bin/true", "timeout": 0}),
    ] {
        let scene = Scene::new("true").set("/hooks/createRuntime", json!([hook]));
        scene.create().failure("hooks.createRuntime");
        scene.assert_gone();
    }
}
