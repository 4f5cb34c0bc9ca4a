//! What a crash leaves: keel is killed before each system call that changes something, one run
//! after the other, and whatever was acknowledged is there, nothing is broken, and all space comes
//! back.
//!
//! strace kills: on entering the N-th such call of a process, with all that it started watched too.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Keel;
use super::keel::{IMAGE, archive_of_layers, list};

/// What changes the disk, mounts or processes. Writing into a file is not among it: a file that
/// counts is written under another name, and renamed.
const CHANGING: &str = "mkdir,mkdirat,mknod,mknodat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,\
    unlinkat,rmdir,ftruncate,fsync,fdatasync,syncfs,mount,umount2,fsmount,move_mount,clone,clone3,\
    execve,kill,pidfd_send_signal";

/// No operation has more such calls in one process.
const MOST: usize = 400;

/// A scene with something in it that was acknowledged long ago.
struct Crashes {
    keel: Keel,
    /// All that is below the root folder then.
    before: BTreeSet<PathBuf>,
}

impl Crashes {
    fn new() -> Self {
        let keel = Keel::new();
        let write = ["sh", "-c", "echo written >/srv/file"];
        let run = ["run", "--name", "kept", "--label", "keep", IMAGE];
        keel.call(run.into_iter().chain(write)).success();
        let mut crashes = Self {
            keel,
            before: BTreeSet::new(),
        };
        crashes.mend();
        crashes.before = crashes.everything();
        crashes
    }

    fn everything(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut folders = vec![self.keel.root()];
        while let Some(folder) = folders.pop() {
            for path in list(&folder) {
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path.clone());
                }
                found.insert(path);
            }
        }
        found
    }

    /// Does `args` as often as it has calls, killed at a later one each time, until it gets
    /// through. Before each time `prepare` sets the scene; afterwards `undo` takes away what an
    /// operation that was not killed leaves.
    fn survive(&self, args: &[&str], prepare: impl Fn(&Keel), undo: impl Fn(&Keel)) {
        for number in 1..=MOST {
            prepare(&self.keel);
            let mut watched = self.kill_at(number, args.iter().copied());
            let when = format!("{args:?}, killed at call {number}");
            // A monitor whose starter was killed may make a container of it yet.
            let status = until(&format!("{when}: all that it started ends"), || {
                self.mend();
                watched.0.try_wait().unwrap().ok_or(String::new())
            });
            let got_through = status.success();
            undo(&self.keel);
            self.mend();
            self.is_as_before(&when);
            if got_through {
                assert!(number > 1, "{args:?} was not killed at all");
                return;
            }
        }
        panic!("{args:?} has more than {MOST} calls that change something");
    }

    /// Runs it to its end, or to its N-th call. What it started may be left running.
    fn kill_at<'a>(&self, number: usize, args: impl Iterator<Item = &'a str>) -> Watched {
        let keel = self.keel.command(args);
        let strace = Command::new("strace")
            .args(["-f", "-qqq", "-o", "/dev/null", "-e", "signal=none"])
            .args(["-e", &format!("trace={CHANGING}")])
            .arg("-e")
            .arg(format!("inject={CHANGING}:signal=KILL:when={number}"))
            .arg(keel.get_program())
            .args(keel.get_args())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("strace, of the package `strace`");
        let mut watched = Watched(strace);
        watched.await_first();
        watched
    }

    /// What a person does after a crash. It works, whatever has happened.
    fn mend(&self) {
        let ids = self
            .keel
            .call(["ps", "-aq", "--no-trunc", "--filter", "name=new"]);
        let ids = ids.success();
        if !ids.is_empty() {
            self.keel
                .call(["rm", "-f"].into_iter().chain(ids.lines()))
                .success();
        }
        // What was cut off in its setting up ends by itself, and holds its folder until then.
        let prune = ["system", "prune", "-f", "--filter", "label!=keep"];
        until("all is well after pruning", || {
            self.keel.call(prune).success();
            let check = self.keel.call(["system", "check"]);
            (check.code == Some(0)).then_some(()).ok_or(check.stdout)
        });
    }

    #[track_caller]
    fn is_as_before(&self, when: &str) {
        let now = self.everything();
        let more: Vec<_> = now.difference(&self.before).collect();
        let fewer: Vec<_> = self.before.difference(&now).collect();
        assert!(
            more.is_empty() && fewer.is_empty(),
            "{when}: left {more:?}, lost {fewer:?}"
        );
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let root = self.keel.root();
        assert!(!mounts.contains(root.to_str().unwrap()), "{when}: {mounts}");
        let diff = self.keel.call(["diff", "kept"]).success();
        assert!(diff.contains("A /srv/file"), "{when}: {diff}");
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.keel.host_folder().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// strace, which ends when all that it watches have ended.
struct Watched(Child);

impl Watched {
    /// Waits until the program has ended that strace was told to run: then its only children are
    /// what that left to others, which have no child of strace as their parent.
    fn await_first(&mut self) {
        let children = format!("/proc/{0}/task/{0}/children", self.0.id());
        let mut had_any = false;
        until("keel ends, or is killed", || {
            let text = std::fs::read_to_string(&children).unwrap_or_default();
            // One that ends at once may be gone before it was seen: then strace has ended too.
            had_any |= !text.is_empty() || self.0.try_wait().unwrap().is_some();
            (had_any && text.is_empty()).then_some(()).ok_or(text)
        });
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Fails only where it has ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Waits until something happens; until then `happens` says what is in the way.
fn until<T>(what: &str, mut happens: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match happens() {
            Ok(happened) => return happened,
            Err(so_far) => assert!(Instant::now() < end, "not in time: {what}: {so_far}"),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn nothing(_: &Keel) {}

/// Removes an image if it is there, which it then is wholly.
fn remove_image(keel: &Keel, name: &str) {
    let names = keel
        .call(["images", "--format", "{{.Repository}}"])
        .success();
    if names.lines().any(|line| line == name) {
        keel.call(["run", "--rm", name, "true"]).success();
        keel.call(["rmi", name]).success();
    }
}

#[test]
fn importing_and_loading_survive_being_killed() {
    let crashes = Crashes::new();
    let rootfs = crashes.keel.root().with_file_name("rootfs.tar");
    let import = ["import", rootfs.to_str().unwrap(), "imported"];
    crashes.survive(&import, nothing, |keel| remove_image(keel, "imported"));
    let archive = crashes.file("high.tar", &archive_of_layers(2));
    crashes.survive(&["load", "-i", &archive], nothing, |keel| {
        remove_image(keel, "high");
    });
}

#[test]
fn building_survives_being_killed() {
    let crashes = Crashes::new();
    let dockerfile = format!("FROM {IMAGE}\nCOPY Dockerfile /srv/\nRUN echo x >/srv/x\nWORKDIR /w");
    let file = crashes.file("Dockerfile", dockerfile.as_bytes());
    let context = file.trim_end_matches("/Dockerfile");
    crashes.survive(&["build", "-t", "built", context], nothing, |keel| {
        remove_image(keel, "built");
    });
}

#[test]
fn removing_images_survives_being_killed() {
    let crashes = Crashes::new();
    let archive = crashes.file("high.tar", &archive_of_layers(1));
    let load = |keel: &Keel| drop(keel.call(["load", "-i", &archive]).success());
    crashes.survive(&["rmi", "high"], load, |keel| remove_image(keel, "high"));
}

#[test]
fn making_and_running_containers_survives_being_killed() {
    let crashes = Crashes::new();
    let name = ["--name", "new", IMAGE];
    let with = |verb: &[&'static str], command: &[&'static str]| [verb, &name, command].concat();
    crashes.survive(&with(&["create"], &["true"]), nothing, nothing);
    crashes.survive(&with(&["run"], &["true"]), nothing, nothing);
    crashes.survive(&with(&["run", "--rm"], &["true"]), nothing, nothing);
}

#[test]
fn running_detached_survives_being_killed() {
    let crashes = Crashes::new();
    let run = ["run", "-d", "--name", "new", IMAGE, "sleep", "1000"];
    crashes.survive(&run, nothing, nothing);
}

#[test]
fn starting_and_stopping_survive_being_killed() {
    let crashes = Crashes::new();
    let make = ["create", "--name", "new", IMAGE, "sleep", "1000"];
    let run = [
        "run", "-d", "--name", "new", "--init", IMAGE, "sleep", "1000",
    ];
    crashes.survive(
        &["start", "new"],
        |keel| drop(keel.call(make).success()),
        nothing,
    );
    crashes.survive(
        &["kill", "new"],
        |keel| drop(keel.call(run).success()),
        nothing,
    );
}

#[test]
fn removing_containers_and_pruning_survive_being_killed() {
    let crashes = Crashes::new();
    let write = ["sh", "-c", "mkdir -p /srv/a; echo x >/srv/a/b"];
    let run = |keel: &Keel| {
        let args = ["run", "--name", "new", IMAGE].into_iter().chain(write);
        keel.call(args).success();
    };
    crashes.survive(&["rm", "new"], run, nothing);
    let prune = ["system", "prune", "-f", "--filter", "label!=keep"];
    crashes.survive(&prune, run, nothing);
    crashes.survive(&["rename", "new", "newer"], run, nothing);
}
