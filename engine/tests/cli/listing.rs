//! `keel ps`: which containers, and what is said of them.

use super::Keel;
use super::keel::IMAGE;

/// Three containers: `web` runs, `job-1` has ended with 3, `job-2` was made only.
fn three() -> Keel {
    let keel = Keel::new();
    keel.start_idle("web", &["--label", "kind=service", "--label", "tier=front"]);
    let job = [
        "run", "--name", "job-1", "--label", "kind=job", IMAGE, "sh", "-c",
    ];
    let script = ["echo 0123456789 >/srv/new; exit 3"];
    keel.call(job.into_iter().chain(script)).failure(3);
    keel.call([
        "create",
        "--name",
        "job-2",
        "-v",
        "/usr:/host",
        IMAGE,
        "true",
    ])
    .success();
    keel
}

fn names(keel: &Keel, flags: &[&str]) -> String {
    let before = ["ps", "--format", "{{.Names}}"];
    let shown = keel.call(before.iter().chain(flags).copied()).success();
    shown.lines().collect::<Vec<_>>().join(" ")
}

#[test]
fn filters_of_one_key_widen_and_of_several_narrow() {
    let keel = three();
    let shown = |filters: &[&str]| {
        let flags: Vec<&str> = filters
            .iter()
            .flat_map(|filter| ["--filter", filter])
            .collect();
        names(&keel, &flags)
    };
    let all = |filters: &[&str]| {
        let flags: Vec<&str> = filters
            .iter()
            .flat_map(|filter| ["--filter", filter])
            .collect();
        names(&keel, &[&["-a"], flags.as_slice()].concat())
    };
    assert_eq!(shown(&[]), "web");
    assert_eq!(shown(&["status=exited"]), "job-1");
    assert_eq!(shown(&["status=exited", "status=created"]), "job-2 job-1");
    assert_eq!(shown(&["exited=3"]), "job-1");
    assert_eq!(all(&["name=job"]), "job-2 job-1");
    assert_eq!(all(&["name=^/job-1$"]), "job-1");
    assert_eq!(all(&["label=kind"]), "job-1 web");
    assert_eq!(all(&["label=kind", "label=tier=front"]), "web");
    assert_eq!(all(&["ancestor=small:latest"]), "job-2 job-1 web");
    assert_eq!(all(&["ancestor=other"]), "");
    assert_eq!(all(&["before=job-1"]), "web");
    assert_eq!(all(&["since=job-1", "name=job"]), "job-2");
    assert_eq!(all(&["volume=/host"]), "job-2");
    let id = keel.inspect("web")["Id"].as_str().unwrap().to_owned();
    assert_eq!(all(&[&format!("id={}", &id[..6])]), "web");
    assert!(
        keel.call(["ps", "--filter", "before=nobody"])
            .failure(1)
            .contains("`nobody`")
    );
}

#[test]
fn the_newest_are_shown_whatever_they_are_doing() {
    let keel = three();
    assert_eq!(names(&keel, &["--last", "2"]), "job-2 job-1");
    assert_eq!(names(&keel, &["-l"]), "job-2");
    assert_eq!(names(&keel, &["-n", "9"]), "job-2 job-1 web");
}

#[test]
fn sizes_are_of_what_was_written_and_of_all_that_is_there() {
    let keel = three();
    let shown = keel
        .call(["ps", "-as", "--format", "{{.Names}} {{.Size}}"])
        .success();
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("job-2 0B (virtual "), "{shown}");
    assert!(lines[1].starts_with("job-1 11B (virtual "), "{shown}");
    let table = keel.call(["ps", "-s"]).success();
    assert!(
        table.lines().next().unwrap().ends_with("NAMES   SIZE"),
        "{table}"
    );
}

#[test]
fn of_a_copied_tree_only_what_was_changed_counts() {
    let keel = Keel::on("vfs");
    let job = ["run", "--name", "job", IMAGE, "sh", "-c"];
    keel.call(job.into_iter().chain(["echo 0123456789 >/srv/new"]))
        .success();
    let shown = keel.call(["ps", "-as", "--format", "{{.Size}}"]).success();
    assert!(shown.starts_with("11B (virtual "), "{shown}");
}

#[test]
fn ids_and_commands_are_cut_unless_told_otherwise() {
    let keel = three();
    let id = keel.inspect("web")["Id"].as_str().unwrap().to_owned();
    assert_eq!(keel.call(["ps", "-q"]).success().trim_end(), &id[..12]);
    assert_eq!(
        keel.call(["ps", "-q", "--no-trunc"]).success().trim_end(),
        id
    );
}
