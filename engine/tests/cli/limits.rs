//! Limits, as the kernel's own files show them.

use std::path::PathBuf;

use super::Keel;
use super::keel::IMAGE;

/// A file of the container's control group, by its v1 controller and names in v1 and v2.
fn limit(pid: u32, controller: &str, v1: &str, v2: &str) -> String {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let place = |line: &str| -> Option<PathBuf> {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let relative = path.trim_start_matches('/');
        if controllers.split(',').any(|name| name == controller) {
            let hierarchy = PathBuf::from("/sys/fs/cgroup").join(controllers);
            let hierarchy = if hierarchy.exists() {
                hierarchy
            } else {
                PathBuf::from("/sys/fs/cgroup").join(controller)
            };
            Some(hierarchy.join(relative).join(v1))
        } else if controllers.is_empty() {
            let file = PathBuf::from("/sys/fs/cgroup").join(relative).join(v2);
            file.exists().then_some(file)
        } else {
            None
        }
    };
    let file = groups.lines().find_map(place).expect("no such controller");
    std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        .trim()
        .to_owned()
}

#[test]
fn limits_reach_the_kernel() {
    let keel = Keel::new();
    let flags = [
        "-m",
        "64m",
        "--pids-limit",
        "20",
        "--cpus",
        "0.5",
        "--cpu-shares",
        "512",
    ];
    keel.start_idle("web", &flags);
    let pid = keel.pid("web");
    assert_eq!(
        limit(pid, "memory", "memory.limit_in_bytes", "memory.max"),
        "67108864"
    );
    assert_eq!(limit(pid, "pids", "pids.max", "pids.max"), "20");
    let quota = limit(pid, "cpu", "cpu.cfs_quota_us", "cpu.max");
    assert!(quota == "50000" || quota == "50000 100000", "{quota}");
}

#[test]
fn a_fork_bomb_stops_at_the_limit() {
    let keel = Keel::new();
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1000 & done";
    let answer = keel.sh(&["--pids-limit", "5"], script);
    assert!(answer.stderr.contains("can't fork"), "{answer:?}");
}

#[test]
fn what_takes_too_much_memory_is_killed_and_that_is_recorded() {
    let keel = Keel::new();
    let script = "head -c 100m /dev/zero | tail -c 90m > /dev/null; exit 137";
    let answer = keel.call([
        "run", "--name", "job", "-m", "16m", IMAGE, "sh", "-c", script,
    ]);
    assert_eq!(answer.code, Some(137), "{answer:?}");
    assert_eq!(
        keel.inspect("job")["State"]["OOMKilled"],
        serde_json::json!(true)
    );
}

#[test]
fn resource_limits_are_the_processs_own() {
    let keel = Keel::new();
    keel.start_idle("web", &["--ulimit", "nofile=64:128", "--ulimit", "core=0"]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", keel.pid("web"))).unwrap();
    let row = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let columns: Vec<&str> = line[name.len()..].split_whitespace().collect();
        (columns[0].to_owned(), columns[1].to_owned())
    };
    assert_eq!(row("Max open files"), ("64".to_owned(), "128".to_owned()));
    assert_eq!(row("Max core file size"), ("0".to_owned(), "0".to_owned()));
}

#[test]
fn groups_are_below_the_parent_that_was_asked_for_and_go_with_the_container() {
    let keel = Keel::new();
    let parent = format!("/keel-test-{}", std::process::id());
    let id = keel.start_idle("web", &["--cgroup-parent", &parent]);
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", keel.pid("web"))).unwrap();
    assert!(groups.contains(&format!("{parent}/{id}")), "{groups}");
    keel.call(["rm", "-f", "web"]).success();
    for hierarchy in super::keel::list(std::path::Path::new("/sys/fs/cgroup")) {
        let group = hierarchy.join(parent.trim_start_matches('/'));
        assert!(!group.join(&id).exists(), "{}", group.display());
        // The parent stays, as with Docker; this test made it.
        drop(std::fs::remove_dir(group));
    }
}
