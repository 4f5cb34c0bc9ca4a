//! `keel commit`: what a container changed becomes an image.

use std::process::Command;

use insta::assert_snapshot;
use serde_json::Value;

use super::Keel;
use super::keel::IMAGE;

const DRIVERS: [&str; 3] = ["overlay", "vfs", "btrfs"];

/// Runs a script in a container called `name`, and leaves it ended.
fn job(keel: &Keel, name: &str, image: &str, script: &str) {
    keel.call(["run", "--name", name, image, "sh", "-c", script])
        .success();
}

fn shown(keel: &Keel, image: &str, script: &str) -> String {
    keel.call(["run", "--rm", image, "sh", "-c", script])
        .success()
}

fn inspected(keel: &Keel, image: &str) -> Value {
    let text = keel.call(["image", "inspect", image]).success();
    serde_json::from_str::<Value>(&text).unwrap()[0].clone()
}

/// Fixed in time, so that images can be compared.
fn commit(keel: &Keel, args: &[&str]) -> String {
    let mut command: Command = keel.command(["commit"].iter().chain(args).copied());
    let output = command.env("SOURCE_DATE_EPOCH", "1700000000").output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

const FIRST: &str = "
    echo 1 > /srv/one; busybox ln /srv/one /srv/same; chown web:logs /srv/one; chmod 4711 /srv/one
    mkdir -p /srv/folder/deep /srv/emptied; echo x > /srv/folder/below; echo x > /srv/emptied/file
    busybox ln -s one /srv/link; busybox mkfifo /srv/pipe; busybox mknod /srv/null c 1 3
    echo changed >> /etc/plain
    touch -d '2001-01-01 00:00:00' -h /srv/link
    touch -d '2001-01-01 00:00:00' /srv/* /srv/folder/* /srv/emptied/* /srv /etc/plain /etc";

/// On top: a file removed, a folder emptied, a folder replaced by a new one of the same name, a
/// folder by a file, and a file by a folder.
const SECOND: &str = "
    rm /etc/plain /srv/emptied/file; rm -r /srv/folder; mkdir /srv/folder; echo y > /srv/folder/new
    rm -r /tmp; echo file > /tmp; rm /srv/one; mkdir /srv/one; echo z > /srv/one/inside
    touch -d '2001-01-01 00:00:00' /srv/folder /srv/folder/* /srv/emptied /srv/one /srv/one/* /srv /etc /tmp";

#[test]
fn an_image_of_a_container_shows_its_files_and_is_the_same_with_every_driver() {
    let mut ids = Vec::new();
    for driver in DRIVERS {
        let keel = Keel::on(driver);
        job(&keel, "aa", IMAGE, FIRST);
        let first = commit(&keel, &["aa", "first"]);
        job(&keel, "bb", "first", SECOND);
        let second = commit(&keel, &["bb", "second"]);
        let script = "busybox stat -c '%a %u %g %h' /srv/one; cat /srv/link; ls /srv
                      busybox stat -c %Y /srv/folder/deep; tail -n 1 /etc/plain";
        let expected =
            "4711 33 40 2\n1\nemptied\nfolder\nlink\none\npipe\nsame\n978307200\nchanged\n";
        assert_eq!(shown(&keel, "first", script), expected, "{driver}");
        let script =
            "cd /; ls etc/plain 2>/dev/null; ls srv/emptied srv/folder srv/one; cat tmp srv/same";
        let expected = "srv/emptied:\n\nsrv/folder:\nnew\n\nsrv/one:\ninside\nfile\n1\n";
        assert_eq!(shown(&keel, "second", script), expected, "{driver}");
        // What was committed is what the container shows, so nothing has changed since.
        job(&keel, "cc", "second", "true");
        let diff = keel.call(["diff", "cc"]).success();
        assert!(!diff.contains("/srv"), "{driver}: {diff}");
        keel.call(["system", "check"]).success();
        ids.push(inspected(&keel, "second")["RootFS"]["Layers"].clone());
        assert_ne!(first, second);
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[0], ids[2]);
}

#[test]
fn the_same_changes_give_the_same_image() {
    let keel = Keel::new();
    job(&keel, "aa", IMAGE, FIRST);
    assert_eq!(commit(&keel, &["aa"]), commit(&keel, &["aa"]));
}

#[test]
fn an_image_starts_as_the_container_did_with_the_changes_made() {
    let keel = Keel::on("vfs");
    let create = [
        "create", "--name", "job", "-t", "-e", "A=1", "-w", "/srv", "-u", "web", "--label",
        "kept=yes", IMAGE, "sh", "-c", "echo $A",
    ];
    keel.call(create).success();
    let changes = [
        "-a",
        "Jo <jo@example.org>",
        "-m",
        "a remark",
        "-c",
        "ENV B=$A/2 C='3 4'",
        "-c",
        "workdir sub",
        "-c",
        "EXPOSE 80",
        "-c",
        "LABEL new=er",
        "-c",
        "VOLUME [\"/data\"]",
        "-c",
        "STOPSIGNAL SIGINT",
        "-c",
        "HEALTHCHECK --interval=5s CMD true",
        "job",
        "job:1",
    ];
    let id = commit(&keel, &changes);
    let image = inspected(&keel, "job:1");
    assert_eq!(image["Id"], id.as_str());
    assert_eq!(image["Author"], "Jo <jo@example.org>");
    assert_eq!(image["Comment"], "a remark");
    assert_eq!(image["Created"], "2023-11-14T22:13:20Z");
    insta::assert_json_snapshot!(image["Config"]);
    let history = [
        "history",
        "--format",
        "{{.CreatedBy}}|{{.Size}}|{{.Comment}}",
        "job:1",
    ];
    // The container changed nothing, so there is no layer.
    assert!(
        keel.call(history)
            .success()
            .starts_with("sh -c echo $A|0B|a remark\nkeel import|")
    );
    assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 1);
}

#[test]
fn a_running_container_is_paused_meanwhile_and_goes_on() {
    let keel = Keel::new();
    keel.start_idle("web", &["-v", "/usr:/srv"]);
    keel.call(["exec", "web", "touch", "/etc/new"]).success();
    keel.call(["commit", "web", "with"]).success();
    assert_eq!(keel.inspect("web")["State"]["Status"], "running");
    keel.call(["commit", "--pause=false", "web", "without"])
        .success();
    assert_eq!(shown(&keel, "with", "ls /etc/new"), "/etc/new\n");
    // One that is paused already stays so.
    keel.call(["pause", "web"]).success();
    keel.call(["commit", "web"]).success();
    assert_eq!(keel.inspect("web")["State"]["Status"], "paused");
}

#[test]
fn what_cannot_be_an_image_leaves_nothing() {
    let keel = Keel::new();
    job(&keel, "job", IMAGE, "touch /srv/.wh.one");
    let images = || keel.call(["images", "-q"]).success();
    let before = images();
    assert_snapshot!(keel.call(["commit", "job"]).failure(1), @"keel: the container has a file `/srv/.wh.one`, and names that start with `.wh.` mean a removal in a layer: rename or remove it first");
    keel.call(["create", "--name", "ok", IMAGE, "true"])
        .success();
    assert_snapshot!(keel.call(["commit", "-c", "RUN true", "ok"]).failure(1), @r"
    keel: the change `RUN true` is refused
      because: `RUN` is no instruction that changes an image's configuration: use CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME or WORKDIR
    ");
    assert_snapshot!(keel.call(["commit", "-c", "ENV A='", "ok"]).failure(1), @r"
    keel: the change `ENV A='` is refused
      because: ENV: `'` has a single quote without its other end
    ");
    keel.call(["commit", "ok", "Not/A/Name"]).failure(125);
    keel.call(["commit", "nobody"]).failure(1);
    assert_eq!(images(), before);
    keel.call(["system", "check"]).success();
}
