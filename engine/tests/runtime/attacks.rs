//! Known attacks, each a regression test.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;

use crate::scene::{Scene, chain, exists};

/// CVE-2021-30465 and its kin: a mount's place is a link out of the rootfs.
#[test]
fn a_mount_through_a_link_stays_inside() {
    let scene = Scene::new("cat /out/etc/file /etc/file");
    let outside = scene.host("outside");
    let volume = scene.host("volume");
    fs::write(volume.join("file"), "inside\n").expect("a file");
    symlink("/", scene.rootfs().join("out")).expect("a link");
    symlink(
        format!("../../../../../../..{}", outside.display()),
        scene.rootfs().join("up"),
    )
    .expect("a link");
    let scene = scene
        .mount(json!({"destination": "/out/etc", "type": "bind", "source": volume, "options": ["bind"]}))
        .mount(json!({"destination": "/up/made", "type": "bind", "source": volume, "options": ["bind"]}));
    assert_eq!(scene.output(), "inside\ninside\n");
    assert!(!exists(&outside.join("made")), "made outside");
}

/// CVE-2019-19921, CVE-2023-27561: /proc is a link, so that procfs lands elsewhere.
#[test]
fn a_link_in_place_of_proc_is_refused() {
    let scene = Scene::new("true");
    symlink("/tmp", scene.rootfs().join("proc")).expect("a link");
    let error = chain(&scene.refusal());
    assert!(
        error.contains("\"/proc\"") && error.contains("not links"),
        "{error}"
    );
}

/// CVE-2015-3630, CVE-2019-16884: something is mounted over files of /proc.
#[test]
fn a_mount_onto_files_of_proc_is_refused() {
    for destination in ["/proc/self/attr", "/proc/sys/kernel", "/through"] {
        let scene = Scene::new("true");
        symlink("/proc/sys", scene.rootfs().join("through")).expect("a link");
        let volume = scene.host("volume");
        let scene = scene.mount(json!({"destination": destination, "type": "bind", "source": volume, "options": ["bind"]}));
        let error = chain(&scene.refusal());
        assert!(error.contains("lies in /proc"), "{destination}: {error}");
    }
}

/// CVE-2024-21626: the working folder is a leaked descriptor of the host.
#[test]
fn a_working_folder_behind_a_descriptor_is_refused() {
    let leak = fs::File::open("/").expect("the host's root");
    nix::fcntl::fcntl(
        &leak,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
    )
    .expect("a flag");
    for fd in 3..40 {
        let scene = Scene::new("cat /etc/hostname")
            .set("/process/cwd", json!(format!("/proc/self/fd/{fd}")));
        let error = chain(&scene.refusal());
        assert!(
            error.contains("working folder") || error.contains("lies outside"),
            "{fd}: {error}"
        );
    }
}

/// CVE-2024-21626: the program is looked up through a leaked descriptor of the host.
#[test]
fn a_program_behind_a_descriptor_is_not_found() {
    let leak = fs::File::open("/").expect("the host's root");
    nix::fcntl::fcntl(
        &leak,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
    )
    .expect("a flag");
    let leaked = std::os::fd::AsRawFd::as_raw_fd(&leak);
    for init in [keel::runtime::Init::No, keel::runtime::Init::Yes] {
        // Any of the descriptors that Keel itself holds may be a way out as well.
        for fd in 3..=leaked.max(20) {
            let mut scene = Scene::new("").set(
                "/process/args",
                json!([format!("/proc/self/fd/{fd}/bin/true")]),
            );
            scene.init = init;
            let error = scene.refusal();
            assert_eq!(error.exit_code(), 127, "{fd}: {}", chain(&error));
        }
    }
}

/// CVE-2019-5736: the program is the engine's own binary, which root inside could then overwrite.
#[test]
fn the_engine_is_never_the_program() {
    for user in [0, 1000] {
        let scene = Scene::new("");
        let bin = scene.rootfs().join("bin");
        symlink("/proc/self/exe", bin.join("link")).expect("a link");
        for (name, text) in [
            ("script", "#!/proc/self/exe\n"),
            ("spaced", "#! \t/proc/self/exe -x"),
            ("twice", "#!/bin/script"),
            ("through", "#!link"),
        ] {
            fs::write(bin.join(name), text).expect("a script");
            // The kernel reads what the user may not.
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o711)).expect("a mode");
        }
        let mut scene = scene
            .set("/process/user/uid", json!(user))
            .set("/process/cwd", json!("/bin"));
        for program in [
            "/proc/self/exe",
            "link",
            "/bin/script",
            "spaced",
            "twice",
            "through",
        ] {
            scene = scene.set("/process/args", json!([program]));
            let error = scene.refusal();
            assert_eq!(error.exit_code(), 126, "{program}: {}", chain(&error));
        }
    }
}

/// CVE-2025-31133: the container's /dev/null is something else when paths are hidden with it.
#[test]
fn a_false_null_device_hides_nothing() {
    let scene = Scene::new("true");
    fs::create_dir(scene.rootfs().join("dev")).expect("a folder");
    symlink(
        "/proc/sys/kernel/core_pattern",
        scene.rootfs().join("dev/null"),
    )
    .expect("a link");
    let scene = scene.set(
        "/mounts",
        json!([{"destination": "/proc", "type": "proc", "source": "proc"}]),
    );
    let error = chain(&scene.refusal());
    assert!(error.contains("/dev/null"), "{error}");
}

/// A device of the image that only looks like one of ours.
#[test]
fn a_file_in_place_of_a_device_is_refused() {
    let scene = Scene::new("true");
    fs::create_dir(scene.rootfs().join("dev")).expect("a folder");
    fs::write(scene.rootfs().join("dev/zero"), "not zero").expect("a file");
    let scene = scene.set(
        "/mounts",
        json!([{"destination": "/proc", "type": "proc", "source": "proc"}]),
    );
    let error = chain(&scene.refusal());
    assert!(error.contains("/dev/zero"), "{error}");
}

/// CVE-2022-0492: `release_agent` and other files of the cgroup hierarchy.
#[test]
fn the_cgroup_hierarchy_is_readonly_inside() {
    let output = Scene::new(
        "for f in /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs; do echo 1 > $f; done 2>&1 | grep -vc 'Read-only\\|nonexistent'; mkdir /sys/fs/cgroup/x 2>&1",
    )
    .run()
    .output;
    assert!(
        output.starts_with("0\n") && output.contains("Read-only"),
        "{output}"
    );
}

#[test]
fn a_spec_that_cannot_be_honoured_leaves_nothing_behind() {
    let scene = Scene::new("true")
        .in_cgroup()
        .set("/hooks", json!({"poststop": [{"path": "/bin/true"}]}));
    let error = scene.refusal();
    assert!(error.to_string().contains("hook"), "{error}");
    let path = scene.cgroup.as_ref().expect("a cgroup");
    let group = keel::runtime::cgroup::Cgroup::open(path).expect("hierarchies");
    assert!(group.pids().expect("a list").is_empty());
}

/// `-1` leaves an id as it was (setresuid(2)): the process would go on as root.
#[test]
fn an_id_that_stands_for_nobody_is_refused() {
    for (field, id) in [
        ("/process/user/uid", json!(u32::MAX)),
        ("/process/user/gid", json!(u32::MAX)),
        ("/process/user/additionalGids", json!([10, u32::MAX])),
    ] {
        let error = chain(&Scene::new("id").set(field, id).refusal());
        assert!(error.contains("stands for no user"), "{field}: {error}");
    }
}

/// TIOCSTI types into the terminal that controls a process's session (CVE-2005-4890 and its kin).
#[test]
fn a_container_is_not_in_the_session_of_the_engines_terminal() {
    for init in [keel::runtime::Init::No, keel::runtime::Init::Yes] {
        let mut scene = Scene::new("cut -d ' ' -f 6,7 /proc/self/stat; echo; exec sleep 600");
        scene.init = init;
        let mut running = scene.start();
        let line = running.line();
        let (session, terminal) = line.split_once(' ').expect("two numbers");
        assert_ne!(session, "0", "a session of the host's");
        assert_eq!(terminal, "0", "a terminal of the host's");
    }
}

#[test]
fn a_namespace_that_is_a_pipe_makes_nobody_wait() {
    let mut scene = Scene::new("true");
    let pipe = scene.host("volume").join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let list = scene.spec["linux"]["namespaces"].as_array_mut();
    let list = list.expect("namespaces");
    list.retain(|namespace| namespace["type"] != "network");
    list.push(json!({"type": "network", "path": pipe}));
    // Whoever does wait is let go at the end of a patience that nobody needs.
    let (done, waits) = std::sync::mpsc::channel::<()>();
    let rescue = std::thread::spawn(move || {
        let patience = std::time::Duration::from_secs(60);
        let waited =
            waits.recv_timeout(patience) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
        if waited {
            drop(fs::File::options().write(true).read(true).open(pipe));
        }
        waited
    });
    let error = chain(&scene.refusal());
    drop(done);
    assert!(!rescue.join().expect("the rescue"), "it waited: {error}");
    assert!(error.contains("join the namespace"), "{error}");
}

#[test]
fn hostile_specs_are_refused_before_anything_is_made() {
    // If it were written after all, the host should not notice.
    let as_it_is = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("a parameter");
    let as_it_is = as_it_is.trim_end();
    let mount = |destination: &str| {
        Scene::new("true")
            .mount(json!({"destination": destination, "type": "tmpfs", "source": "x"}))
    };
    for (scene, word) in [
        (mount("/"), "root itself"),
        (mount("/a/.."), "root itself"),
        (mount("relative"), "absolute"),
        (
            Scene::new("true").set(
                "/linux/namespaces",
                json!([{"type": "pid"}, {"type": "pid"}, {"type": "mount"}]),
            ),
            "twice",
        ),
        (
            Scene::new("true").set("/linux/namespaces", json!([{"type": "pid"}])),
            "mount namespace",
        ),
        (
            Scene::new("true").set("/process/cwd", json!("relative")),
            "absolute",
        ),
        (
            Scene::new("true").set("/process/args", json!([])),
            "program",
        ),
        (
            Scene::new("true").set("/linux/resources", json!({"pids": {"limit": 5}})),
            "cgroup",
        ),
        (
            Scene::new("true").set("/linux/sysctl", json!({"net.../../kernel/panic": "1"})),
            "kernel parameter",
        ),
        (
            Scene::new("true").set("/linux/sysctl", json!({"kernel.core_pattern": as_it_is})),
            "belongs to no namespace",
        ),
    ] {
        let error = chain(&scene.refusal());
        assert!(error.contains(word), "{word}: {error}");
    }
}
