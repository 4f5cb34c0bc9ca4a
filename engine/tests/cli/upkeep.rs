//! Looking after what is kept: `container prune` and `keel system`.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use insta::assert_snapshot;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Keel;
use super::keel::{IMAGE, list, status_of};

fn names(keel: &Keel) -> String {
    let shown = keel.call(["ps", "-a", "--format", "{{.Names}}"]).success();
    shown.lines().collect::<Vec<_>>().join(" ")
}

/// `old` has ended, `kept` too but has a label, `web` runs.
fn three() -> Keel {
    let keel = Keel::new();
    let job = [
        "run",
        "--name",
        "old",
        IMAGE,
        "sh",
        "-c",
        "echo 0123456789 >/srv/new",
    ];
    keel.call(job).success();
    keel.call(["create", "--name", "kept", "--label", "keep", IMAGE, "true"])
        .success();
    keel.start_idle("web", &[]);
    keel
}

#[test]
fn pruning_removes_what_does_not_run_and_what_the_filters_take() {
    let keel = three();
    let id = keel.inspect("old")["Id"].as_str().unwrap().to_owned();
    let pruned = keel
        .call(["container", "prune", "-f", "--filter", "label!=keep"])
        .success();
    assert_snapshot!(pruned.replace(&id, "ID"), @r"
    Deleted Containers:
    ID

    Total reclaimed space: 11B
    ");
    assert_eq!(names(&keel), "web kept");
    keel.call(["container", "prune", "-f", "--filter", "until=1h"])
        .success();
    assert_eq!(names(&keel), "web kept");
    keel.call(["container", "prune", "-f"]).success();
    assert_eq!(names(&keel), "web");
}

#[test]
fn pruning_asks_before() {
    let keel = three();
    let answer = |answer: &str| {
        let mut child = keel
            .command(["container", "prune"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(answer.as_bytes())
            .unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap()
    };
    assert_snapshot!(answer("\n"), @r"
    WARNING! This will remove all containers that do not run.
    Are you sure you want to continue? [y/N]
    ");
    assert_eq!(names(&keel), "web kept old");
    answer("y\n");
    assert_eq!(names(&keel), "web");
}

#[test]
fn usage_is_told_with_what_could_be_freed() {
    let keel = three();
    let table = keel.call(["system", "df"]).success();
    let first = table.lines().next().unwrap();
    assert_eq!(
        first.split_whitespace().collect::<Vec<_>>(),
        ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    );
    let format = "{{.Type}} {{.TotalCount}} {{.Active}} {{.Reclaimable}}";
    assert_snapshot!(keel.call(["system", "df", "--format", format]).success(), @r"
    Images 1 1 0B (0%)
    Containers 3 1 11B (100%)
    Local Volumes 0 0 0B (0%)
    Build Cache 0 0 0B (0%)
    ");
}

#[test]
fn a_check_of_what_is_sound_says_so() {
    let keel = three();
    assert_snapshot!(keel.call(["system", "check"]).success(), @"Nothing is broken, and nothing was left behind.");
}

#[test]
fn a_check_names_what_is_broken_and_pruning_removes_what_was_left() {
    let keel = three();
    let root = keel.root();
    let containers = root.join("containers");
    let trees = root.join("storage/overlay/containers");
    // What killed processes leave: a folder without a container, a tree without one, half a layer.
    fs::create_dir(containers.join("half-0123456789ab")).unwrap();
    fs::create_dir_all(trees.join("gone-0123456789ab/fs")).unwrap();
    fs::create_dir(root.join("storage/overlay/staging/layer-1-0")).unwrap();
    // What somebody broke: a container's configuration, and its tree.
    let folder = |name: &str| {
        let found = list(&containers).into_iter();
        let mut found = found.filter(|path| path.to_str().unwrap().contains(&format!("/{name}-")));
        found.next().unwrap()
    };
    let (kept, old) = (folder("kept"), folder("old"));
    fs::remove_dir_all(trees.join(old.file_name().unwrap())).unwrap();
    let monitor = status_of(keel.pid("web"), "PPid").parse().unwrap();
    let monitor = Pid::from_raw(monitor);
    kill(monitor, Signal::SIGKILL).unwrap();
    // Its lock goes with it, and not before.
    while kill(monitor, None).is_ok() {
        std::thread::yield_now();
    }
    let config = fs::read(kept.join("config.json")).unwrap();
    fs::write(kept.join("config.json"), "{").unwrap();
    let told = |text: String| {
        let text = text.replace(root.to_str().unwrap(), "ROOT");
        let ids = [&kept, &old].map(|path| {
            path.to_str()
                .unwrap()
                .rsplit_once('-')
                .unwrap()
                .1
                .to_owned()
        });
        let mut lines: Vec<String> = text
            .lines()
            .map(|line| {
                ids.iter()
                    .fold(line.to_owned(), |line, id| line.replace(id, "ID"))
            })
            .collect();
        lines.sort();
        lines.join("\n")
    };
    let check = keel.call(["system", "check"]);
    assert_eq!(check.code, Some(1));
    assert_snapshot!(told(check.stdout), @r"
    `ROOT/storage/overlay/staging/layer-1-0` is unfinished work that nobody goes on with; `keel system prune` removes it
    container `kept-ID` cannot be read: `ROOT/containers/kept-ID/config.json` is damaged; `keel rm -f` removes the container: EOF while parsing an object at line 1 column 1
    container `old` has no tree `ROOT/storage/overlay/containers/old-ID` any more; remove it with `keel rm old`
    container `web` runs without its monitor, which was killed: its output is lost; `keel restart web` mends that
    container folder `ROOT/containers/half-0123456789ab` was never finished; `keel system prune` removes it
    tree `ROOT/storage/overlay/containers/gone-0123456789ab` belongs to no container; `keel system prune` removes it
    ");

    fs::write(kept.join("config.json"), config).unwrap();
    let pruned = keel.call(["system", "prune", "-f"]).success();
    assert!(pruned.contains("Deleted Leftovers: 3"), "{pruned}");
    assert_eq!(names(&keel), "web");
    assert_snapshot!(told(keel.call(["system", "check"]).stdout), @"container `web` runs without its monitor, which was killed: its output is lost; `keel restart web` mends that");
    keel.call(["restart", "web"]).success();
    keel.call(["system", "check"]).success();
}

#[test]
fn pruning_the_system_leaves_images_with_names_unless_all_are_meant() {
    let keel = Keel::new();
    keel.call(["system", "prune", "-f"]).success();
    assert_eq!(keel.call(["images", "-q"]).success().lines().count(), 1);
    let pruned = keel.call(["system", "prune", "-af"]).success();
    assert!(
        pruned.contains("untagged: small:latest\ndeleted: sha256:"),
        "{pruned}"
    );
    assert_eq!(keel.call(["images", "-q"]).success(), "");
}
