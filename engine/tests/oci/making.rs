//! The options of `create` and `run`.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::scene::Scene;

#[test]
fn the_pid_file_holds_the_process_id() {
    let scene = Scene::new("sleep 600");
    let path = scene.path("pid");
    scene
        .leave(["create", "--pid-file", path.to_str().unwrap(), "c"])
        .success();
    assert_eq!(fs::read_to_string(path).unwrap(), scene.pid().to_string());
}

#[test]
fn a_pid_file_that_cannot_be_written_leaves_no_container() {
    let scene = Scene::new("sleep 600");
    scene
        .leave(["create", "--pid-file", "/nonexistent/pid", "c"])
        .failure("/nonexistent/pid");
    scene.assert_gone();
}

#[test]
fn descriptors_are_passed_on_as_many_as_were_asked_for() {
    let scene = Scene::new("ls /proc/self/fd; cat <&3");
    let file = scene.path("file");
    fs::write(&file, "passed on\n").unwrap();
    // The caller has two of them open.
    let run = |args: &[&str]| {
        let runtime = scene.command(args.iter().copied());
        let script = format!(r#"exec 3<"{0}" 4<"{0}"; exec "$@""#, file.display());
        let output = Command::new("/bin/sh")
            .args(["-c", &script, "sh"])
            .arg(runtime.get_program())
            .args(runtime.get_args())
            .current_dir(scene.path("bundle"))
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text = run(&["run", "--preserve-fds", "1", "c"]);
    assert!(text.ends_with("passed on\n"), "{text}");
    let open: Vec<_> = text.lines().filter(|line| line.len() == 1).collect();
    // The fourth is that of `ls` itself.
    assert_eq!(open, ["0", "1", "2", "3", "4"], "{text}");
    let sealed = run(&["run", "c"]);
    assert!(!sealed.contains("passed on"), "{sealed}");
    scene
        .call(["run", "--preserve-fds", "20", "c"])
        .failure("not all of the descriptors");
}

#[test]
fn without_pivoting_the_root_is_the_containers_too() {
    let scene = Scene::new("ls /; ls /..; cat /proc/self/mountinfo");
    let answer = scene.call(["run", "--no-pivot", "c"]).success();
    assert!(answer.stdout.starts_with("bin\ndev\netc\n"), "{answer:#?}");
    assert!(!answer.stdout.contains(" /home"), "{answer:#?}");
}

#[test]
fn a_relative_group_lies_below_the_runtimes_own() {
    let scene = Scene::new("cat /proc/self/cgroup").set("/linux/cgroupsPath", json!("deep/er"));
    let answer = scene.run().success();
    assert!(
        answer.stdout.contains(":/keel/runtime/deep/er"),
        "{answer:#?}"
    );
}

#[test]
fn bundles_that_contradict_the_specification_are_refused() {
    let refused = |scene: Scene, word: &str| {
        scene.create().failure(word);
        scene.assert_gone();
    };
    refused(Scene::new("").set("/ociVersion", json!("2.0.0")), "2.0.0");
    refused(Scene::new("").set("/root/path", json!("absent")), "absent");
    let linked = Scene::new("");
    std::os::unix::fs::symlink("rootfs", linked.path("bundle/link")).unwrap();
    refused(linked.set("/root/path", json!("link")), "symbolic link");
    refused(Scene::new("").set("/process", json!(3)), "config.json");
    let million = vec![json!({"destination": "/x", "type": "tmpfs"}); 1_000_000];
    refused(Scene::new("").set("/mounts", json!(million)), "16 MiB");
    let scene = Scene::new("");
    scene
        .call(["create", "--bundle", "/nonexistent", "c"])
        .failure("/nonexistent");
}
