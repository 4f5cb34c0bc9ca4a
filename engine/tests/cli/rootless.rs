//! Keel for a user who is not root: with ranges of ids and without, on each driver that works so.
//!
//! The user exists for the tests alone: `/etc/passwd`, `/etc/subuid` and `/etc/subgid` are covered
//! in a mount namespace of the test's own thread, and the host's stay as they are.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::keel::{Answer, IMAGE, list, status_of};

const UID: u32 = 54_321;
/// The first of the further ids.
const RANGE: u32 = 600_100_000;
const DRIVERS: [&str; 2] = ["overlay", "vfs"];

/// Which ids the user may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ids {
    /// Their own.
    One,
    /// 65,536 more.
    Many,
}

/// A user with a home folder.
struct User {
    home: tempfile::TempDir,
    ids: Ids,
    driver: &'static str,
    /// What covers files of the host in this thread's mount namespace.
    covered: Vec<PathBuf>,
}

impl User {
    fn new(ids: Ids, driver: &'static str) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "these tests make a user: run them as root"
        );
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let home = tempfile::tempdir().unwrap();
        chown(home.path(), Some(UID), Some(UID)).unwrap();
        let mut user = Self {
            home,
            ids,
            driver,
            covered: Vec::new(),
        };
        let home = user.home.path().display();
        let passwd = format!("keeper:x:{UID}:{UID}::{home}:/bin/sh\n");
        user.cover("/etc/passwd", &passwd);
        let ranges = match ids {
            Ids::One => String::new(),
            Ids::Many => format!("keeper:{RANGE}:65536\n"),
        };
        user.cover("/etc/subuid", &ranges);
        user.cover("/etc/subgid", &ranges);
        // The folders above the program may be closed to the user.
        user.bind(Path::new(env!("CARGO_BIN_EXE_keel")), &user.file("keel"));
        let tar = user.file("rootfs.tar");
        fs::write(&tar, rootfs_tar()).unwrap();
        user.call(["import", tar.to_str().unwrap(), IMAGE])
            .success();
        user
    }

    /// All pairs.
    fn everywhere(test: impl Fn(&Self)) {
        for ids in [Ids::One, Ids::Many] {
            for driver in DRIVERS {
                test(&Self::new(ids, driver));
            }
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A folder of the user's.
    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.file(name);
        fs::create_dir(&folder).unwrap();
        chown(&folder, Some(UID), Some(UID)).unwrap();
        folder
    }

    fn cover(&mut self, path: &str, contents: &str) {
        let file = self.file(&path.replace('/', "_"));
        fs::write(&file, contents).unwrap();
        self.bind(&file, Path::new(path));
    }

    fn bind(&mut self, source: &Path, target: &Path) {
        if !target.exists() {
            fs::write(target, "").unwrap();
        }
        let none = None::<&str>;
        mount(Some(source), target, none, MsFlags::MS_BIND, none).unwrap();
        self.covered.push(target.to_owned());
    }

    fn root(&self) -> PathBuf {
        self.file(".local/share/keel")
    }

    fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(self.file("keel"));
        command
            .uid(UID)
            .gid(UID)
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .args(["--storage-driver", self.driver])
            .args(args)
            .stdin(Stdio::null());
        command
    }

    fn call<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Answer {
        Answer::of(&self.command(args).output().unwrap())
    }

    /// `keel run --rm FLAGS small sh -c SCRIPT`
    fn sh(&self, flags: &[&str], script: &str) -> Answer {
        let before = ["run", "--rm"].iter().chain(flags);
        self.call(before.chain(&[IMAGE, "sh", "-c", script]).copied())
    }

    /// `keel runtime ARGS`
    fn runtime<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Answer {
        Answer::of(&self.runtime_command(args).output().unwrap())
    }

    fn runtime_command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(self.file("keel"));
        command
            .uid(UID)
            .gid(UID)
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", "/usr/bin:/bin")
            .arg("runtime")
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// A container that waits to be stopped, and then ends with 3.
    fn start_idle(&self, name: &str) {
        let script = "trap 'exit 3' TERM; echo ready; while :; do sleep 1000 & wait; done";
        let run = ["run", "-d", "--name", name, IMAGE, "sh", "-c", script];
        self.call(run).success();
        let mut follow = self
            .command(["logs", "-f", name])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = follow.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        follow.kill().unwrap();
        follow.wait().unwrap();
        assert_eq!(line, "ready\n");
    }

    fn pid(&self, container: &str) -> u32 {
        let text = self.call(["inspect", container]).success();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        u32::try_from(value[0]["State"]["Pid"].as_u64().unwrap()).unwrap()
    }

    /// Who a user of a container is on the host.
    fn on_host(&self, id: u32) -> u32 {
        match (self.ids, id) {
            (_, 0) => UID,
            (Ids::Many, id) => RANGE + id - 1,
            (Ids::One, id) => panic!("there is no {id}"),
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let ids = self.call(["ps", "-aq"]).stdout;
        if !ids.is_empty() {
            self.call(["rm", "-f"].into_iter().chain(ids.lines()));
        }
        for path in self.covered.iter().rev() {
            umount2(path, MntFlags::MNT_DETACH).ok();
        }
    }
}

/// A root file system of busybox, with files of root's and of another's.
fn rootfs_tar() -> Vec<u8> {
    let busybox = fs::read("/bin/busybox").expect("busybox, of the package `busybox-static`");
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind, owner: u64, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(bytes.len() as u64);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mtime(1_700_000_000);
        tar.append_data(&mut header, path, bytes).unwrap();
    };
    for folder in [
        "bin",
        "dev",
        "etc",
        "lower",
        "lower/below",
        "proc",
        "sys",
        "tmp",
    ] {
        add(folder, tar::EntryType::Directory, 0, b"");
    }
    for program in [
        "busybox", "sh", "cat", "id", "ls", "sleep", "stat", "chown", "rm", "mkdir", "mknod",
    ] {
        add(
            &format!("bin/{program}"),
            tar::EntryType::Regular,
            0,
            &busybox,
        );
    }
    let (passwd, group) = (
        "root:x:0:0::/:/bin/sh\nweb:x:33:33::/:/bin/sh\n",
        "logs:x:4:root\n",
    );
    add("etc/passwd", tar::EntryType::Regular, 0, passwd.as_bytes());
    add("etc/group", tar::EntryType::Regular, 0, group.as_bytes());
    add("etc/of-web", tar::EntryType::Regular, 33, b"");
    tar.into_inner().unwrap()
}

#[test]
fn a_user_runs_containers_and_hears_how_they_end() {
    User::everywhere(|user| {
        assert_eq!(
            user.sh(&[], "id -u; cat /proc/self/uid_map")
                .success()
                .lines()
                .next(),
            Some("0")
        );
        user.sh(&[], "exit 7").failure(7);
        user.call(["run", "--rm", IMAGE, "/nothing"]).failure(127);
        user.call(["run", "--rm", IMAGE, "/etc/group/x"])
            .failure(127);
        assert!(user.root().join("storage").join(user.driver).is_dir());
        assert_eq!(
            fs::metadata(user.root()).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let info = user.call(["info"]).success();
        let users = match user.ids {
            Ids::One => format!("Users: rootless, 0 is {UID} on the host\n"),
            Ids::Many => format!(
                "Users: rootless, 0 is {UID} on the host, 1-65536 is {RANGE}-{} on the host\n",
                RANGE + 65_535
            ),
        };
        assert!(info.contains(&users), "{info}");
        assert!(
            info.contains(&format!("Storage driver: {}\n", user.driver)),
            "{info}"
        );
    });
}

#[test]
fn a_detached_container_lives_through_all_its_verbs() {
    User::everywhere(|user| {
        user.start_idle("web");
        let said = user.call([
            "exec",
            "web",
            "sh",
            "-c",
            "echo new >/made; rm -r /lower; mkdir /lower; id -u",
        ]);
        assert_eq!(said.success(), "0\n");
        user.call(["exec", "web", "sh", "-c", "exit 9"]).failure(9);
        assert_eq!(
            user.call(["diff", "web"]).success(),
            "C /lower\nD /lower/below\nA /made\n"
        );
        let copy = user.file("copy");
        user.call(["cp", "web:/made", copy.to_str().unwrap()])
            .success();
        assert_eq!(fs::read_to_string(&copy).unwrap(), "new\n");
        assert_eq!(fs::metadata(&copy).unwrap().uid(), UID);
        assert!(user.call(["top", "web"]).success().contains("sleep 1000"));
        user.call(["commit", "web", "changed"]).success();
        let listed = ["run", "--rm", "changed", "sh", "-c", "cat /made; ls /lower"];
        assert_eq!(user.call(listed).success(), "new\n");
        user.call(["stop", "web"]).success();
        assert_eq!(user.call(["wait", "web"]).success(), "3\n");
        assert_eq!(user.call(["logs", "web"]).success(), "ready\n");
        user.call(["start", "web"]).success();
        assert_eq!(
            user.call(["exec", "web", "cat", "/made"]).success(),
            "new\n"
        );
        user.call(["rm", "-f", "web"]).success();
        assert_eq!(user.call(["ps", "-aq"]).success(), "");
        assert_eq!(
            user.call(["system", "check"]).success(),
            "Nothing is broken, and nothing was left behind.\n"
        );
    });
}

#[test]
fn files_belong_to_the_user_or_to_their_ranges() {
    User::everywhere(|user| {
        let shared = user.folder("shared");
        let volume = format!("{}:/shared", shared.display());
        let owners = "echo >/shared/mine; stat -c %u /etc/of-web /etc/group";
        let seen = user.sh(&["-v", &volume], owners).success();
        assert_eq!(
            fs::metadata(shared.join("mine")).unwrap().uid(),
            user.on_host(0)
        );
        match user.ids {
            Ids::One => {
                assert_eq!(seen, "0\n0\n");
                let refused = user.sh(&["-u", "web"], "id").failure(125);
                assert!(refused.contains("/etc/subuid"), "{refused}");
            }
            Ids::Many => {
                assert_eq!(seen, "33\n0\n");
                let give = "echo >/shared/theirs; chown web /shared/theirs";
                user.sh(&["-v", &volume], give).success();
                let theirs = fs::metadata(shared.join("theirs")).unwrap().uid();
                assert_eq!(theirs, user.on_host(33));
                assert_eq!(
                    user.sh(&["-u", "web"], "id -u; id -G").success(),
                    "33\n33\n"
                );
                assert_eq!(user.sh(&[], "id -G").success(), "0 4\n");
            }
        }
    });
}

#[test]
fn named_volumes_outlive_their_containers() {
    User::everywhere(|user| {
        user.sh(&["-v", "data:/data"], "echo kept >/data/file")
            .success();
        assert_eq!(
            user.sh(&["-v", "data:/data:ro"], "cat /data/file")
                .success(),
            "kept\n"
        );
        assert!(user.call(["volume", "ls", "-q"]).success().contains("data"));
        user.call(["volume", "rm", "data"]).success();
        assert_eq!(user.call(["volume", "ls", "-q"]).success(), "");
    });
}

#[test]
fn the_hosts_files_stay_closed_to_the_root_of_a_container() {
    for ids in [Ids::One, Ids::Many] {
        let user = User::new(ids, "overlay");
        let secret = user.file("secret");
        fs::write(&secret, "secret").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let open = user.folder("of-root");
        chown(&open, Some(0), Some(0)).unwrap();
        let home = format!("{}:/host", user.home.path().display());
        for script in [
            "cat /host/secret",
            "echo >/host/of-root/new",
            "chown 0 /host/secret",
            "mknod /disk b 254 0",
            "mknod /null c 1 3",
        ] {
            for flags in [&["-v", &home][..], &["-v", &home, "--privileged"]] {
                let answer = user.sh(flags, script);
                assert_eq!(answer.code, Some(1), "{script}: {answer:?}");
            }
        }
        assert_eq!(fs::metadata(&secret).unwrap().uid(), 0);
        assert_eq!(fs::read_dir(&open).unwrap().count(), 0);
        // Its devices are the host's own, and usable.
        user.sh(
            &[],
            "echo lost >/dev/null; test -c /dev/null -a -c /dev/urandom",
        )
        .success();
        user.start_idle("web");
        assert_eq!(status_of(user.pid("web"), "CapEff"), "00000000a80425fb");
        assert_eq!(
            status_of(user.pid("web"), "Uid"),
            format!("{UID}\t{UID}\t{UID}\t{UID}")
        );
    }
}

#[test]
fn all_containers_of_a_user_share_one_namespace() {
    let user = User::new(Ids::Many, "overlay");
    let namespace =
        |container| fs::read_link(format!("/proc/{}/ns/user", user.pid(container))).unwrap();
    user.start_idle("one");
    user.start_idle("two");
    assert_eq!(namespace("one"), namespace("two"));
    assert_ne!(
        namespace("one"),
        fs::read_link("/proc/self/ns/user").unwrap()
    );
    // Whoever holds the lock may be killed: the container itself then shows where.
    for container in ["one", "two"] {
        let parent = status_of(user.pid(container), "PPid").parse().unwrap();
        kill(Pid::from_raw(parent), Signal::SIGKILL).unwrap();
    }
    assert_eq!(user.call(["exec", "one", "id", "-u"]).success(), "0\n");
    user.start_idle("three");
    assert_eq!(namespace("one"), namespace("three"));
}

#[test]
fn what_needs_a_control_group_is_refused_where_the_user_has_none() {
    let user = User::new(Ids::One, "overlay");
    for limit in [["--memory", "64m"], ["--cpus", "1"], ["--pids-limit", "9"]] {
        let refused = user.sh(&limit, "id").failure(125);
        assert!(refused.contains("Delegate=yes"), "{refused}");
    }
    user.start_idle("web");
    for verb in ["pause", "stats"] {
        let refused = user.call([verb, "web"]).failure(1);
        assert!(refused.contains("control group"), "{refused}");
    }
    assert_eq!(user.call(["ps", "-aq"]).success().lines().count(), 1);
}

#[test]
fn a_user_whom_the_kernel_gives_no_namespace_hears_why_and_still_reads() {
    let user = User::new(Ids::One, "overlay");
    user.call(["create", "--name", "web", IMAGE, "id"])
        .success();
    // In a chroot no user may make one (`create_user_ns`).
    let jail = user.folder("jail");
    for folder in ["proc", "root"] {
        fs::create_dir(jail.join(folder)).unwrap();
    }
    let recursive = MsFlags::MS_BIND | MsFlags::MS_REC;
    let none = None::<&str>;
    mount(Some("/proc"), &jail.join("proc"), none, recursive, none).unwrap();
    mount(
        Some(&user.root()),
        &jail.join("root"),
        none,
        recursive,
        none,
    )
    .unwrap();
    fs::copy(user.file("keel"), jail.join("keel")).unwrap();
    let call = |verb: &[&str]| {
        let output = Command::new("chroot")
            .arg(format!("--userspec={UID}:{UID}"))
            .arg(&jail)
            .args(["/keel", "--root", "/root"])
            .args(verb)
            .output()
            .unwrap();
        Answer::of(&output)
    };
    let refused = call(&["start", "web"]).failure(125);
    assert!(
        refused.contains("needs a user namespace") && refused.contains("chroot"),
        "{refused}"
    );
    assert!(call(&["ps", "-a"]).success().contains("web"));
    let info = call(&["info"]);
    assert!(info.stderr.contains("chroot"), "{info:?}");
    assert!(info.success().contains("Users: none can be had"));
    for mounted in ["proc", "root"] {
        umount2(&jail.join(mounted), MntFlags::MNT_DETACH).unwrap();
    }
}

#[test]
fn a_delegated_group_is_used_and_removed() {
    let mut user = User::new(Ids::Many, "overlay");
    // The unified hierarchy alone, whatever this machine has.
    let hierarchy = Path::new("/sys/fs/cgroup");
    let none = None::<&str>;
    mount(
        Some("cgroup2"),
        hierarchy,
        Some("cgroup2"),
        MsFlags::empty(),
        none,
    )
    .unwrap();
    user.covered.push(hierarchy.to_owned());
    let group = Group::delegated(hierarchy, UID);
    let call = |verb: &str| {
        // Once controllers are handed down, keel has moved all processes to a leaf.
        let leaf = group.0.join("keel-leaf");
        let place = if leaf.is_dir() { &leaf } else { &group.0 };
        let enter = format!("echo $$ >{}/cgroup.procs && exec \"$@\"", place.display());
        let keel = user.command(verb.split(' '));
        let program = std::iter::once(keel.get_program()).chain(keel.get_args());
        let output = Command::new("sh")
            .args(["-c", &enter, "sh", "setpriv", "--clear-groups"])
            .args([format!("--reuid={UID}"), format!("--regid={UID}")])
            .args(program)
            .env("HOME", user.home.path())
            .env_remove("KEEL_PRETEND_KERNEL")
            .output()
            .unwrap();
        Answer::of(&output)
    };
    call(&format!("run -d --name web {IMAGE} sleep 1000")).success();
    let own = group.0.join("keel");
    assert_eq!(groups(&own).len(), 1, "{own:?}");
    call("pause web").success();
    assert!(call("ps").success().contains("(Paused)"));
    call("unpause web").success();
    call("exec web id").success();
    call("rm -f web").success();
    assert_eq!(groups(&own), Vec::<PathBuf>::new());
}

/// A control group, removed with all below when its processes have ended.
struct Group(PathBuf);

impl Group {
    fn delegated(hierarchy: &Path, uid: u32) -> Self {
        let group = hierarchy.join(format!("keel-test-of-a-user-{}", std::process::id()));
        fs::create_dir(&group).unwrap();
        for part in [
            "",
            "cgroup.procs",
            "cgroup.subtree_control",
            "cgroup.threads",
        ] {
            chown(group.join(part), Some(uid), Some(uid)).unwrap();
        }
        Self(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let mut folders = vec![self.0.clone()];
        let mut at = 0;
        while let Some(folder) = folders.get(at) {
            let below = groups(folder);
            folders.extend(below);
            at += 1;
        }
        for folder in folders.iter().rev() {
            fs::remove_dir(folder).ok();
        }
    }
}

fn groups(folder: &Path) -> Vec<PathBuf> {
    let mut groups = list(folder);
    groups.retain(|path| path.is_dir());
    groups
}

#[test]
fn the_runtime_makes_containers_of_a_users_bundles() {
    for ids in [Ids::One, Ids::Many] {
        let user = User::new(ids, "vfs");
        let bundle = user.folder("bundle");
        let at = bundle.to_str().unwrap();
        user.runtime(["spec", "--rootless", "--bundle", at])
            .success();
        for folder in [
            "rootfs",
            "rootfs/bin",
            "rootfs/proc",
            "rootfs/dev",
            "rootfs/sys",
        ] {
            fs::create_dir(bundle.join(folder)).unwrap();
        }
        chown(bundle.join("rootfs"), Some(UID), Some(UID)).unwrap();
        for program in ["sh", "id", "sleep", "cat"] {
            fs::copy("/bin/busybox", bundle.join("rootfs/bin").join(program)).unwrap();
        }
        let path = bundle.join("config.json");
        let mut config: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config["process"]["terminal"] = false.into();
        config["process"]["args"] =
            serde_json::json!(["sh", "-c", "id -u; cat /proc/self/uid_map; exit 6"]);
        let mut expected = vec!["0".to_owned(), format!("0 {UID} 1")];
        if ids == Ids::Many {
            for field in ["uidMappings", "gidMappings"] {
                let more = serde_json::json!({"containerID": 1, "hostID": RANGE, "size": 65536});
                config["linux"][field].as_array_mut().unwrap().push(more);
            }
            expected.push(format!("1 {RANGE} 65536"));
        }
        let write = |config: &serde_json::Value| fs::write(&path, config.to_string()).unwrap();
        write(&config);
        let ran = user.runtime(["run", "--bundle", at, "once"]);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(ran.code, Some(6), "{ran:?}");
        assert_eq!(ran.stdout.lines().map(words).collect::<Vec<_>>(), expected);

        config["process"]["args"] = serde_json::json!(["sleep", "1000"]);
        write(&config);
        // The container has the streams of whoever creates it: a pipe would not end.
        let mut create = user.runtime_command(["create", "--bundle", at, "web"]);
        assert!(create.stdout(Stdio::null()).status().unwrap().success());
        user.runtime(["start", "web"]).success();
        assert_eq!(user.runtime(["exec", "web", "id", "-u"]).success(), "0\n");
        let state: serde_json::Value =
            serde_json::from_str(&user.runtime(["state", "web"]).success()).unwrap();
        assert_eq!(state["status"], "running");
        assert!(user.runtime(["ps", "web"]).success().contains("sleep 1000"));
        user.runtime(["delete", "--force", "web"]).success();
        assert_eq!(user.runtime(["list", "-q"]).success(), "");
    }
}

#[test]
fn a_user_cannot_run_a_bundle_without_a_user_namespace() {
    let user = User::new(Ids::One, "vfs");
    let bundle = user.folder("bundle");
    let at = bundle.to_str().unwrap();
    user.runtime(["spec", "--bundle", at]).success();
    fs::create_dir(bundle.join("rootfs")).unwrap();
    let refused = user.runtime(["run", "--bundle", at, "web"]).failure(1);
    assert!(refused.contains("spec --rootless"), "{refused}");
    let refused = user.runtime(["--rootless", "false", "list"]).failure(1);
    assert!(refused.contains("root alone"), "{refused}");
}
