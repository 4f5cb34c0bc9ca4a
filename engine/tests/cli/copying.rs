//! `keel cp` and `keel export`: files between containers and the host.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;

use super::Keel;
use super::keel::{IMAGE, collect};

const DRIVERS: [&str; 2] = ["overlay", "vfs"];

/// Entries of a tar: path, kind, and what a link says or how long a file is.
fn entries(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let shown = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let entry = entry.unwrap();
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let what = match entry.link_name_bytes() {
            Some(target) => String::from_utf8_lossy(&target).into_owned(),
            None => entry.size().to_string(),
        };
        format!("{path} {:?} {what}", entry.header().entry_type())
    };
    archive.entries().unwrap().map(shown).collect()
}

fn bytes(keel: &Keel, args: &[&str]) -> Vec<u8> {
    let output = keel.command(args.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    output.stdout
}

fn with_input(keel: &Keel, args: &[&str], input: &[u8]) -> (Option<i32>, String) {
    let mut child = keel
        .command(args.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may refuse without reading.
    drop(child.stdin.take().unwrap().write_all(input));
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}

const MANY_KINDS: &str = "
    echo text > /srv/file; chown web:logs /srv/file; chmod 4750 /srv/file
    busybox ln /srv/file /srv/same; busybox ln -s ../away/x /srv/link
    busybox mkfifo /srv/pipe; busybox mknod /srv/null c 1 3
    mkdir -p /srv/a/very/deep; echo long > /srv/$(busybox printf 'n%.0s' $(busybox seq 150))
";

#[test]
fn an_export_has_every_kind_of_file_in_order_and_is_the_same_each_time() {
    for driver in DRIVERS {
        let keel = Keel::on(driver);
        keel.call(["run", "--name", "job", IMAGE, "sh", "-c", MANY_KINDS])
            .success();
        let tar = bytes(&keel, &["export", "job"]);
        assert_eq!(tar, bytes(&keel, &["export", "job"]), "{driver}");
        let all = entries(&tar);
        let srv: Vec<&str> = all
            .iter()
            .filter_map(|entry| entry.strip_prefix("srv/"))
            .collect();
        let long = format!("{} Regular 5", "n".repeat(150));
        let expected = [
            "a/ Directory 0",
            "a/very/ Directory 0",
            "a/very/deep/ Directory 0",
            "file Regular 5",
            "link Symlink ../away/x",
            long.as_str(),
            "null Char 0",
            "pipe Fifo 0",
            "same Link srv/file",
        ];
        // An empty name ends with the entry of the folder itself.
        assert_eq!(srv.get(1..).unwrap(), expected, "{driver}");
        let paths: Vec<Vec<&str>> = all
            .iter()
            .map(|entry| entry.split(' ').next().unwrap().trim_end_matches('/'))
            .map(|path| path.split('/').collect())
            .collect();
        assert!(paths.is_sorted(), "{driver}: {all:?}");
    }
}

#[test]
fn an_export_is_imported_as_the_same_files() {
    let keel = Keel::new();
    keel.call(["run", "--name", "job", IMAGE, "sh", "-c", MANY_KINDS])
        .success();
    let file = keel.host_folder().join("job.tar");
    let path = file.to_str().unwrap();
    keel.call(["export", "-o", path, "job"]).success();
    keel.call(["import", path, "again"]).success();
    let script =
        "busybox stat -c '%a %u %g %h' /srv/file; cat /srv/same; busybox readlink /srv/link";
    let said = keel.call(["run", "--rm", "again", "sh", "-c", script]);
    assert_eq!(said.success(), "4750 33 40 2\ntext\n../away/x\n");
}

#[test]
fn an_export_of_a_running_container_has_its_tree_and_no_mounts() {
    for driver in DRIVERS {
        let keel = Keel::on(driver);
        let host = keel.host_folder();
        fs::write(host.join("of-the-host"), "x").unwrap();
        let volume = format!("{}:/srv", host.display());
        let script = "echo new > /tmp/new; touch /dev/shm/memory; echo ready; sleep 1000";
        keel.start("web", &["-v", &volume], script);
        let all = entries(&bytes(&keel, &["export", "web"])).join("\n");
        assert!(all.contains("tmp/new Regular 4"), "{driver}: {all}");
        assert!(all.contains("srv/ Directory"), "{driver}: {all}");
        for mounted in ["of-the-host", "proc/self", "dev/shm/memory", "sys/kernel"] {
            assert!(!all.contains(mounted), "{driver}: {mounted} in {all}");
        }
        // Looking has left nothing behind: it can still be stopped and removed.
        keel.call(["rm", "-f", "web"]).success();
        assert!(keel.containers_left().is_empty(), "{driver}");
    }
}

#[test]
fn archives_are_not_written_to_terminals() {
    let keel = Keel::on("vfs");
    keel.call(["create", "--name", "job", IMAGE, "true"])
        .success();
    for verb in [["export", "job"].as_slice(), &["cp", "job:/etc", "-"]] {
        let terminal = nix::pty::openpty(None, None).unwrap();
        let output = keel
            .command(verb.iter().copied())
            .stdout(terminal.slave)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("is not written to a terminal"), "{said}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn files_are_copied_into_and_out_of_containers_that_run_or_not() {
    for driver in DRIVERS {
        let keel = Keel::on(driver);
        let host = keel.host_folder();
        let there = host.join("in.txt");
        fs::write(&there, "from the host").unwrap();
        std::os::unix::fs::chown(&there, Some(12), Some(34)).unwrap();
        fs::set_permissions(&there, fs::Permissions::from_mode(0o640)).unwrap();
        let copies = |name: &str| {
            let inside = format!("{name}:/srv/out.txt");
            let told = keel.call(["cp", there.to_str().unwrap(), &inside]);
            assert_eq!(told.code, Some(0), "{driver}: {told:?}");
            assert_eq!(
                told.stderr,
                format!("Successfully copied 13B to {inside}\n")
            );
            let back = host.join(format!("{name}.txt"));
            keel.call(["cp", "-q", &inside, back.to_str().unwrap()])
                .success();
            assert_eq!(fs::read_to_string(&back).unwrap(), "from the host");
            let found = fs::metadata(&back).unwrap();
            // Root's in the container, the caller's on the host.
            assert_eq!(
                (found.uid(), found.gid(), found.mode() & 0o7777),
                (0, 0, 0o640)
            );
            keel.call(["cp", "-aq", there.to_str().unwrap(), &inside])
                .success();
            keel.call(["cp", "-aq", &inside, back.to_str().unwrap()])
                .success();
            let found = fs::metadata(&back).unwrap();
            assert_eq!((found.uid(), found.gid()), (12, 34));
        };
        keel.call(["create", "--name", "new", IMAGE, "true"])
            .success();
        copies("new");
        keel.start_idle("web", &[]);
        copies("web");
        let seen = keel.call(["exec", "web", "cat", "/srv/out.txt"]).success();
        assert_eq!(seen, "from the host");
        keel.call(["stop", "web"]).success();
        copies("web");
        keel.call(["start", "web"]).success();
    }
}

#[test]
fn volumes_are_seen_as_the_container_sees_them() {
    let keel = Keel::new();
    let host = keel.host_folder();
    let (data, fixed) = (host.join("data"), host.join("fixed"));
    fs::create_dir(&data).unwrap();
    fs::create_dir(&fixed).unwrap();
    fs::write(fixed.join("there"), "fixed").unwrap();
    let volumes = [
        "-v",
        &format!("{}:/data", data.display()),
        "-v",
        &format!("{}:/fixed:ro", fixed.display()),
        "--read-only",
    ];
    let file = host.join("file");
    fs::write(&file, "x").unwrap();
    let file = file.to_str().unwrap();
    let check = |when: &str| {
        keel.call(["cp", file, "web:/data/in"]).success();
        assert_eq!(fs::read_to_string(data.join("in")).unwrap(), "x", "{when}");
        fs::remove_file(data.join("in")).unwrap();
        let tar = bytes(&keel, &["cp", "web:/fixed", "-"]);
        assert_eq!(
            entries(&tar),
            ["fixed/ Directory 0", "fixed/there Regular 5"]
        );
        for place in ["web:/fixed/in", "web:/srv/in"] {
            let said = keel.call(["cp", file, place]).failure(1);
            assert!(said.contains("Read-only"), "{when}, {place}: {said}");
        }
    };
    let create = ["create", "--name", "web"];
    let command = [IMAGE, "sh", "-c", "echo ready; sleep 1000"];
    keel.call(create.iter().chain(&volumes).chain(&command).copied())
        .success();
    check("made");
    keel.call(["start", "web"]).success();
    keel.await_line("web", "ready");
    check("running");
    keel.call(["rm", "-f", "web"]).success();
    assert!(keel.containers_left().is_empty());
}

#[test]
fn tars_are_streamed_in_and_out() {
    let keel = Keel::on("vfs");
    keel.call(["create", "--name", "job", IMAGE, "true"])
        .success();
    let tar = bytes(&keel, &["cp", "job:/etc/.", "-"]);
    assert!(entries(&tar).contains(&"plain Regular 15".to_owned()));
    assert_eq!(
        with_input(&keel, &["cp", "-q", "-", "job:/tmp"], &tar).0,
        Some(0)
    );
    let linked = bytes(&keel, &["cp", "-L", "job:/tmp/plain", "-"]);
    assert_eq!(entries(&linked), ["plain Regular 15"]);
    let refused = |place: &str| with_input(&keel, &["cp", "-", place], &tar);
    assert!(refused("job:/nowhere").1.contains("does not exist"));
    assert!(refused("job:/etc/plain").1.contains("is no folder"));
    let (code, said) = with_input(
        &keel,
        &["cp", "-", "job:/tmp"],
        b"this is no tar, however long",
    );
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let keel = Keel::on("vfs");
    keel.call(["create", "--name", "job", IMAGE, "true"])
        .success();
    let refusal = |from: &str, to: &str| {
        let said = keel.call(["cp", from, to]).failure(1);
        said.lines().collect::<Vec<_>>().join(" | ")
    };
    let refusals = [
        refusal("job:/etc", "job:/tmp"),
        refusal("/etc", "/tmp"),
        refusal("job:", "/tmp"),
        refusal("job:/nothing", "/tmp"),
        refusal("job:/etc", "/nowhere/new"),
        refusal("job:/etc", "/etc/passwd"),
        refusal("nobody:/etc", "/tmp"),
    ];
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn cve_2018_15664_a_folder_that_is_swapped_for_a_link_leads_nowhere_else() {
    let keel = Keel::new();
    let host = keel.host_folder();
    let outside = host.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    fs::write(host.join("evil"), "evil").unwrap();
    // `/srv/x` is by turns a folder and a link to a folder of the host that no container sees.
    let script = format!(
        "mkdir -p /srv/dir; echo inside > /srv/dir/secret; busybox ln -s {} /srv/link; echo ready
         while :; do
           busybox mv /srv/dir /srv/x; busybox mv /srv/x /srv/dir
           busybox mv /srv/link /srv/x; busybox mv /srv/x /srv/link
         done",
        outside.display()
    );
    keel.start("web", &[], &script);
    let evil = host.join("evil");
    let out = host.join("out");
    let mut copied = 0;
    for _ in 0..1000 {
        // Many fail, as there is nothing at times; none may reach the host's folder.
        keel.call(["cp", evil.to_str().unwrap(), "web:/srv/x/new"]);
        keel.call(["cp", "web:/srv/x/secret", out.to_str().unwrap()]);
        if let Ok(text) = fs::read_to_string(&out) {
            assert_eq!(text, "inside\n");
            fs::remove_file(&out).unwrap();
            copied += 1;
            if copied == 10 {
                break;
            }
        }
    }
    assert_eq!(copied, 10);
    let left: Vec<_> = super::keel::list(&outside);
    assert_eq!(left, [outside.join("secret")]);
    keel.call(["rm", "-f", "web"]).success();
}

#[test]
fn cve_2021_41089_modes_of_the_host_are_not_changed_through_links() {
    let keel = Keel::new();
    let host = keel.host_folder();
    let precious = host.join("precious");
    fs::write(&precious, "precious").unwrap();
    fs::set_permissions(&precious, fs::Permissions::from_mode(0o600)).unwrap();
    let folder = host.join("folder");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("file");
    fs::write(&file, "x").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4777)).unwrap();
    // Whatever is copied to /srv becomes a link to the host's file as soon as it is there.
    let script = format!(
        "echo ready; while :; do
           [ -f /srv/folder/file ] && [ ! -L /srv/folder/file ] \
             && busybox ln -sf {0} /srv/folder/file
         done",
        precious.display()
    );
    keel.start("web", &[], &script);
    for _ in 0..40 {
        keel.call(["cp", "-a", folder.to_str().unwrap(), "web:/srv"]);
    }
    assert_eq!(fs::metadata(&precious).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    keel.call(["rm", "-f", "web"]).success();
}

#[test]
fn cve_2019_14271_nothing_of_the_container_is_loaded_or_run() {
    let keel = Keel::new();
    // Every library and program that a copier could want, replaced by something that leaves a mark.
    let script = "mkdir -p /lib /lib64 /usr/bin /etc; \
                  echo 'touch /srv/mark' > /usr/bin/tar; chmod 755 /usr/bin/tar; \
                  for lib in libnss_files.so.2 libc.so.6 ld-linux-x86-64.so.2; do \
                    echo broken > /lib/$lib; echo broken > /lib64/$lib; done; \
                  rm -f /bin/busybox.new; echo ready; sleep 1000";
    keel.start("web", &[], script);
    let out = keel.host_folder().join("out");
    keel.call(["cp", "-a", "web:/etc/passwd", out.to_str().unwrap()])
        .success();
    assert!(Path::new(&out).exists());
    let child = keel
        .command(["exec", "web", "ls", "/srv"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(collect(child), (Some(0), String::new()));
    keel.call(["rm", "-f", "web"]).success();
}
