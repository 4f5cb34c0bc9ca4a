//! Volumes: folders that outlive containers.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use insta::assert_snapshot;
use serde_json::Value;

use super::Keel;
use super::keel::{IMAGE, list};

const DRIVERS: [&str; 3] = ["overlay", "vfs", "btrfs"];

fn names(keel: &Keel, flags: &[&str]) -> Vec<String> {
    let args = [&["volume", "ls", "-q"], flags].concat();
    let said = keel.call(args).success();
    said.lines().map(str::to_owned).collect()
}

/// An image `with-volume` that wants `/data` to outlive its containers, and has files there.
fn with_volume(keel: &Keel) {
    let script = "mkdir -p /data/deep; echo of the image > /data/deep/file; chown web:logs /data; \
                  chmod 2750 /data";
    keel.call(["run", "--name", "maker", IMAGE, "sh", "-c", script])
        .success();
    let change = "VOLUME /data";
    keel.call(["commit", "-c", change, "maker", "with-volume"])
        .success();
    keel.call(["rm", "maker"]).success();
}

#[test]
fn what_is_written_to_a_volume_is_there_for_the_next() {
    let keel = Keel::new();
    keel.sh(&["-v", "data:/srv"], "echo kept > /srv/file")
        .success();
    assert_eq!(names(&keel, &[]), ["data"]);
    let said = keel.sh(
        &["-v", "data:/elsewhere:ro"],
        "cat /elsewhere/file; echo x > /elsewhere/y",
    );
    assert_eq!(said.stdout, "kept\n");
    assert!(said.stderr.contains("Read-only"), "{said:?}");
    let mount = "type=volume,source=data,target=/srv";
    assert_eq!(
        keel.sh(&["--mount", mount], "cat /srv/file").success(),
        "kept\n"
    );
    // Its folder is called as it is, for people to find.
    let file = keel.root().join("volumes/data/_data/file");
    assert_eq!(fs::read_to_string(file).unwrap(), "kept\n");
}

#[test]
fn a_new_volume_gets_the_images_files_with_owners_and_modes() {
    for driver in DRIVERS {
        let keel = Keel::on(driver);
        with_volume(&keel);
        let look = "cat /data/deep/file; busybox stat -c '%a %u %g' /data";
        let run = |flags: &[&str]| {
            let args = [&["run", "--rm"], flags, &["with-volume", "sh", "-c", look]].concat();
            keel.call(args)
        };
        let expected = "of the image\n2750 33 40\n";
        assert_eq!(run(&["-v", "data:/data"]).success(), expected, "{driver}");
        // Only once, and only if it is wanted.
        let file = keel.root().join("volumes/data/_data/deep/file");
        fs::write(&file, "changed\n").unwrap();
        assert!(
            run(&["-v", "data:/data"])
                .success()
                .starts_with("changed\n")
        );
        assert_ne!(run(&["-v", "empty:/data:nocopy"]).code, Some(1));
        assert!(list(&keel.root().join("volumes/empty/_data")).is_empty());
        assert_eq!(run(&[]).success(), expected, "{driver}");
        keel.call(["system", "check"]).success();
    }
}

#[test]
fn a_volume_that_nobody_named_goes_with_its_container() {
    let keel = Keel::new();
    with_volume(&keel);
    // `--rm` takes it along, also in the background.
    keel.call(["run", "--rm", "with-volume", "true"]).success();
    assert_eq!(names(&keel, &[]), Vec::<String>::new());
    let id = keel
        .call([
            "run",
            "-d",
            "--rm",
            "-v",
            "/more",
            "with-volume",
            "sleep",
            "1000",
        ])
        .success();
    assert_eq!(names(&keel, &[]).len(), 2);
    keel.call(["rm", "-f", id.trim_end()]).success();
    assert_eq!(names(&keel, &[]), Vec::<String>::new());
    // `rm` leaves it, `rm -v` does not; one with a name stays in any case.
    let create = |name: &str| {
        keel.call([
            "create",
            "--name",
            name,
            "-v",
            "kept:/kept",
            "with-volume",
            "true",
        ])
        .success();
    };
    create("one");
    create("two");
    let anonymous = names(&keel, &[]);
    assert_eq!(anonymous.len(), 3);
    keel.call(["rm", "-v", "one"]).success();
    assert_eq!(names(&keel, &[]).len(), 2);
    keel.call(["rm", "two"]).success();
    assert_eq!(names(&keel, &["-f", "dangling=true"]).len(), 2);
    let told = keel.call(["volume", "prune", "-f"]).success();
    assert!(told.starts_with("Deleted Volumes:\n"), "{told}");
    assert!(told.ends_with("Total reclaimed space: 13B\n"), "{told}");
    assert_eq!(names(&keel, &[]), ["kept"]);
    keel.call(["volume", "prune", "-af"]).success();
    assert_eq!(names(&keel, &[]), Vec::<String>::new());
}

#[test]
fn volumes_of_another_container_are_shared() {
    let keel = Keel::new();
    let host = keel.host_folder();
    let bind = format!("{}:/host", host.display());
    let flags = ["-v", "/own", "-v", "data:/data", "-v", &bind];
    let command = [IMAGE, "sh", "-c", "echo shared > /own/file"];
    let before = ["run", "--name", "first"];
    keel.call(before.iter().chain(&flags).chain(&command).copied())
        .success();
    let said = keel.sh(
        &["--volumes-from", "first:ro"],
        "cat /own/file; echo x > /own/y; ls -d /data /host",
    );
    assert_eq!(said.stdout, "shared\n/data\n/host\n");
    assert!(said.stderr.contains("Read-only"), "{said:?}");
    // A volume that two have does not go with one of them.
    keel.call([
        "create",
        "--name",
        "second",
        "--volumes-from",
        "first",
        IMAGE,
        "true",
    ])
    .success();
    keel.call(["rm", "-v", "first"]).success();
    assert_eq!(names(&keel, &[]).len(), 2);
    keel.call(["rm", "-v", "second"]).success();
    assert_eq!(names(&keel, &[]), ["data"]);
    keel.sh(&["--volumes-from", "nobody"], "true").failure(125);
}

#[test]
fn a_volume_is_told_of_and_removed() {
    let keel = Keel::on("vfs");
    let create = ["volume", "create", "--label", "kind=cache", "data"];
    assert_eq!(keel.call(create).success(), "data\n");
    assert_eq!(keel.call(create).success(), "data\n");
    let chosen = keel.call(["volume", "create"]).success();
    assert_eq!(chosen.trim_end().len(), 64);
    keel.call(["volume", "rm", chosen.trim_end()]).success();
    assert_snapshot!(keel.call(["volume", "ls"]).success(), @r"
    DRIVER   VOLUME NAME
    local    data
    ");
    let text = keel.call(["volume", "inspect", "data"]).success();
    let document = serde_json::from_str::<Value>(&text).unwrap()[0].clone();
    let data = keel.root().join("volumes/data/_data");
    assert_eq!(document["Mountpoint"], data.to_str().unwrap());
    assert_eq!(document["Labels"]["kind"], "cache");
    assert_eq!(names(&keel, &["-f", "label=kind=cache"]), ["data"]);
    assert_eq!(
        names(&keel, &["-f", "label=kind=other"]),
        Vec::<String>::new()
    );
    assert_eq!(names(&keel, &["-f", "name=at"]), ["data"]);
    keel.call(["create", "--name", "job", "-v", "data:/x", IMAGE, "true"])
        .success();
    let mounts = &keel.inspect("job")["Mounts"][0];
    assert_eq!(
        (&mounts["Type"], &mounts["Name"]),
        (&"volume".into(), &"data".into())
    );
    assert_eq!(mounts["Source"], data.to_str().unwrap());
    let refused = keel.call(["volume", "rm", "data"]).failure(1);
    assert_snapshot!(refused, @"keel: volume `data` is in use by job: remove the containers first");
    assert_eq!(names(&keel, &["-f", "dangling=true"]), Vec::<String>::new());
    let df = [
        "system",
        "df",
        "--format",
        "{{.Type}} {{.TotalCount}} {{.Active}}",
    ];
    assert!(keel.call(df).success().contains("Local Volumes 1 1\n"));
    keel.call(["rm", "job"]).success();
    keel.call(["volume", "rm", "data"]).success();
    keel.call(["volume", "rm", "data"]).failure(1);
    keel.call(["volume", "rm", "-f", "data"]).success();
}

#[test]
fn mounts_in_words_do_what_they_say() {
    let keel = Keel::new();
    let host = keel.host_folder();
    let missing = host.join("missing");
    let bind = format!("type=bind,source={},target=/host", missing.display());
    let refused = keel.sh(&["--mount", &bind], "true").failure(125);
    assert!(refused.contains("does not exist"), "{refused}");
    assert!(!missing.exists());
    keel.sh(
        &["--mount", &format!("{bind},bind-create-src")],
        "echo x > /host/file",
    )
    .success();
    assert_eq!(fs::metadata(missing.join("file")).unwrap().uid(), 0);
    let memory = "type=tmpfs,target=/memory,tmpfs-size=1m,tmpfs-mode=1750";
    let said = keel.sh(
        &["--mount", memory],
        "busybox stat -c %a /memory; grep -c ' /memory tmpfs .*size=1024k' /proc/mounts",
    );
    assert_eq!(said.success(), "1750\n1\n");
    let twice = ["-v", "one:/x", "--mount", "source=two,target=/x"];
    let refused = keel.sh(&twice, "true").failure(125);
    assert!(
        refused.contains("two mounts are to be at `/x`"),
        "{refused}"
    );
}

#[test]
fn a_link_in_the_image_does_not_lead_the_copy_out() {
    let keel = Keel::new();
    let secret = keel.host_folder();
    fs::write(secret.join("secret"), "secret").unwrap();
    let script = format!("busybox ln -s {} /link", secret.display());
    keel.call(["run", "--name", "maker", IMAGE, "sh", "-c", &script])
        .success();
    keel.call(["commit", "maker", "linked"]).success();
    keel.call([
        "create",
        "--name",
        "job",
        "-v",
        "data:/link",
        "linked",
        "true",
    ])
    .success();
    assert!(list(&keel.root().join("volumes/data/_data")).is_empty());
}

#[test]
fn system_prune_takes_volumes_only_when_told() {
    let keel = Keel::on("vfs");
    keel.call([
        "create",
        "--name",
        "job",
        "-v",
        "/own",
        "-v",
        "data:/data",
        IMAGE,
        "true",
    ])
    .success();
    keel.call(["system", "prune", "-f"]).success();
    assert_eq!(names(&keel, &[]).len(), 2);
    keel.call(["system", "prune", "-f", "--volumes"]).success();
    assert_eq!(names(&keel, &[]), ["data"]);
    // What a killed process leaves is found and removed.
    fs::create_dir_all(keel.root().join("volumes/.staging/volume-1-0/_data")).unwrap();
    keel.call(["system", "check"]).failure(1);
    keel.call(["system", "prune", "-f"]).success();
    keel.call(["system", "check"]).success();
}
