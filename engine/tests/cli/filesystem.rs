//! What a container finds in its file system, and what it may do there.

use super::Keel;
use super::keel::IMAGE;

#[test]
fn containers_do_not_see_each_others_files_and_the_image_stays_as_it_was() {
    for driver in ["overlay", "vfs"] {
        let keel = Keel::on(driver);
        keel.sh(&[], "echo x > /new; rm /etc/plain").success();
        assert_eq!(
            keel.sh(&[], "ls /new /etc/plain 2>/dev/null").stdout,
            "/etc/plain\n",
            "{driver}"
        );
    }
}

#[test]
fn diff_shows_what_was_added_changed_and_deleted() {
    for driver in ["overlay", "vfs"] {
        let keel = Keel::on(driver);
        let script = "echo x > /srv/new; echo more >> /etc/passwd; rm /etc/plain";
        keel.call(["run", "--name", "job", IMAGE, "sh", "-c", script])
            .success();
        let diff = keel.call(["diff", "job"]).success();
        let lines: Vec<&str> = diff.lines().collect();
        for line in ["A /srv/new", "C /etc/passwd", "D /etc/plain"] {
            assert!(lines.contains(&line), "{driver}: {diff}");
        }
        assert!(
            !diff.contains("/etc/hosts") || driver != "vfs",
            "{driver}: {diff}"
        );
    }
}

#[test]
fn a_volume_is_the_hosts_own_folder() {
    let keel = Keel::new();
    let host = keel.host_folder();
    std::fs::write(host.join("there"), "from the host").unwrap();
    let volume = format!("{}:/data", host.display());
    let said = keel
        .sh(&["-v", &volume], "cat /data/there; echo x > /data/back")
        .success();
    assert_eq!(said, "from the host");
    assert_eq!(std::fs::read_to_string(host.join("back")).unwrap(), "x\n");
    let answer = keel.sh(&["-v", &format!("{volume}:ro")], "echo y > /data/back");
    assert_ne!(answer.code, Some(0));
    assert_eq!(std::fs::read_to_string(host.join("back")).unwrap(), "x\n");
}

#[test]
fn a_volume_target_behind_a_link_stays_inside() {
    let keel = Keel::new();
    let host = keel.host_folder();
    let name = format!("keel-volume-{}", std::process::id());
    // In the image, `/away` leads up and out, to the host's /tmp if anybody follows it there.
    let volume = format!("{}:/away/{name}", host.display());
    keel.sh(&["-v", &volume], &format!("echo x > /tmp/{name}/inside"))
        .success();
    assert!(host.join("inside").exists());
    assert!(!std::path::Path::new("/tmp").join(name).exists());
}

#[test]
fn a_read_only_root_takes_no_writes_but_memory_does() {
    let keel = Keel::new();
    let flags = ["--read-only", "--tmpfs", "/scratch:size=1m"];
    let answer = keel.sh(
        &flags,
        "touch /scratch/x && touch /dev/shm/x && echo fine; touch /x",
    );
    assert_eq!(answer.stdout, "fine\n");
    assert!(answer.stderr.contains("Read-only"), "{answer:?}");
    let answer = keel.sh(&flags, "dd if=/dev/zero of=/scratch/big bs=1024 count=2000");
    assert!(answer.stderr.contains("No space"), "{answer:?}");
}

#[test]
fn shared_memory_is_as_large_as_asked() {
    let keel = Keel::new();
    let size = |flags: &[&str]| keel.sh(flags, "grep ' /dev/shm ' /proc/mounts").success();
    assert!(size(&[]).contains("size=65536k"));
    assert!(size(&["--shm-size", "1m"]).contains("size=1024k"));
}

#[test]
fn name_files_are_the_containers_own_and_writable() {
    let keel = Keel::new();
    let script = "echo 10.0.0.1 db >> /etc/hosts && grep -c . /etc/hosts && cat /etc/hostname";
    let said = keel.sh(&["--hostname", "boat"], script).success();
    assert_eq!(said, "7\nboat\n");
    let args = [
        "run",
        "--hostname",
        "boat",
        super::keel::IMAGE,
        "sh",
        "-c",
        script,
    ];
    assert_eq!(keel.call(args).success(), "7\nboat\n");
    assert_eq!(
        keel.sh(&["--read-only"], "cat /etc/hosts | grep -c .")
            .success(),
        "6\n"
    );
    let ours = std::fs::read_to_string("/etc/hosts").unwrap();
    assert!(!ours.contains("10.0.0.1 db"));
    let resolver = keel.sh(&[], "cat /etc/resolv.conf").success();
    assert_eq!(
        resolver,
        std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default()
    );
}

#[test]
fn a_device_is_there_when_asked_for() {
    let keel = Keel::new();
    keel.sh(&[], "[ -c /dev/kmsg ]").failure(1);
    keel.sh(&["--device", "/dev/kmsg:/dev/x:r"], "[ -c /dev/x ]")
        .success();
    let refusal = keel.sh(&["--device", "/etc/passwd"], "true").failure(125);
    assert!(refusal.contains("/etc/passwd"), "{refusal}");
}

#[test]
fn an_image_of_more_layers_than_new_mounts_take_by_name_is_mounted_the_old_way() {
    let keel = Keel::new();
    let archive = keel.host_folder().join("high.tar");
    std::fs::write(&archive, super::keel::archive_of_layers(40)).unwrap();
    keel.call(["load", "-i", archive.to_str().unwrap()])
        .success();
    let script = "ls /srv | grep -c . && touch /srv/new";
    let said = keel
        .call(["run", "--rm", "high", "sh", "-c", script])
        .success();
    assert_eq!(said, "40\n");
    assert!(keel.containers_left().is_empty());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(keel.root().to_str().unwrap()), "{mounts}");
}
