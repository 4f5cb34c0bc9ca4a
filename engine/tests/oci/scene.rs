//! Sets the scene: a bundle of busybox, a folder for the runtime's state, and calls of the runtime.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::poll::{PollTimeout, poll};
use serde_json::{Value, json};

/// A bundle, and the runtime that knows it as the container `c`. Dropped, its containers are gone.
pub(crate) struct Scene {
    folder: tempfile::TempDir,
    pub(crate) spec: Value,
}

/// What a call came to.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

const APPLETS: [&str; 28] = [
    "cat", "chmod", "date", "dd", "echo", "env", "false", "grep", "head", "hostname", "id", "ip",
    "kill", "ls", "mkdir", "mount", "ps", "pwd", "readlink", "sh", "sleep", "stat", "stty",
    "touch", "true", "tty", "uname", "wc",
];

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

impl Scene {
    /// A bundle whose program is `sh -c SCRIPT`.
    pub(crate) fn new(script: &str) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "these tests make containers: run them as root"
        );
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bundle/rootfs/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::hard_link(busybox(), bin.join("busybox"))
            .or_else(|_| fs::copy(busybox(), bin.join("busybox")).map(drop))
            .unwrap();
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
        }
        fs::create_dir(folder.path().join("bundle/rootfs/etc")).unwrap();
        let name = folder.path().file_name().unwrap().to_str().unwrap();
        let spec = spec(
            script,
            &format!("/keel-oci-tests/{}", name.trim_start_matches('.')),
        );
        Self { folder, spec }
    }

    /// Sets a member of `config.json`, by JSON pointer; members on the way are made.
    pub(crate) fn set(mut self, pointer: &str, value: Value) -> Self {
        let mut at = &mut self.spec;
        for name in pointer.split('/').skip(1) {
            at = if at.is_array() {
                &mut at[name.parse::<usize>().unwrap()]
            } else {
                &mut at[name]
            };
        }
        *at = value;
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.path("bundle/rootfs")
    }

    /// The runtime's folder.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let config = serde_json::to_vec_pretty(&self.spec).unwrap();
        fs::write(self.path("bundle/config.json"), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_keel"));
        command
            .args(["runtime", "--root"])
            .arg(self.root())
            .args(args)
            .current_dir(self.path("bundle"))
            .stdin(Stdio::null());
        command
    }

    /// Calls a verb and reads all that it, and what it started, says.
    pub(crate) fn call<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Answer {
        let output = self.command(args).output().unwrap();
        Answer {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Calls a verb that leaves a process behind, whose output goes to the file `out`.
    pub(crate) fn leave<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Answer {
        let open = |name| {
            let mut options = File::options();
            options.create(true).append(true);
            options.open(self.path(name)).unwrap()
        };
        let _old = fs::remove_file(self.path("err"));
        let status = self
            .command(args)
            .stdout(open("out"))
            .stderr(open("err"))
            .status()
            .unwrap();
        Answer {
            code: status.code(),
            stdout: String::new(),
            stderr: fs::read_to_string(self.path("err")).unwrap(),
        }
    }

    pub(crate) fn create(&self) -> Answer {
        self.leave(["create", "c"])
    }

    pub(crate) fn start(&self) -> Answer {
        self.call(["start", "c"])
    }

    /// Creates and starts it, and waits for a line that begins with `ready`.
    pub(crate) fn up(&self) {
        self.create().success();
        self.start().success();
        wait_for("the line `ready`", || {
            self.out().lines().any(|line| line.starts_with("ready"))
        });
    }

    /// Runs the bundle to its end.
    pub(crate) fn run(&self) -> Answer {
        self.call(["run", "c"])
    }

    /// What the container has written so far.
    pub(crate) fn out(&self) -> String {
        fs::read_to_string(self.path("out")).unwrap_or_default()
    }

    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.call(["state", "c"]).success().stdout).unwrap()
    }

    pub(crate) fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    pub(crate) fn await_status(&self, status: &str) {
        wait_for(status, || self.status() == status);
    }

    pub(crate) fn pid(&self) -> u32 {
        u32::try_from(self.state()["pid"].as_u64().unwrap()).unwrap()
    }

    /// Kills it and waits for its end.
    pub(crate) fn kill(&self) {
        self.call(["kill", "c", "KILL"]).success();
        self.await_status("stopped");
    }

    /// The folders of its control group.
    pub(crate) fn groups(&self) -> Vec<PathBuf> {
        let path = self.spec["linux"]["cgroupsPath"].as_str().unwrap();
        let root = Path::new("/sys/fs/cgroup");
        let all = fs::read_dir(root).unwrap().flatten();
        let all = all.map(|entry| entry.path()).chain([root.to_owned()]);
        all.map(|hierarchy| hierarchy.join(&path[1..]))
            .filter(|folder| folder.is_dir())
            .collect()
    }

    /// A file of its control group, in whichever hierarchy it is.
    pub(crate) fn group_file(&self, names: &[&str]) -> Option<String> {
        let groups = self.groups();
        let mut files = groups
            .iter()
            .flat_map(|group| names.iter().map(move |name| group.join(name)));
        files.find_map(|file| fs::read_to_string(file).ok())
    }

    /// Nothing of it is left.
    pub(crate) fn assert_gone(&self) {
        let left: Vec<_> = fs::read_dir(self.root())
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        assert!(left.is_empty(), "{left:?}");
        assert!(self.groups().is_empty(), "{:?}", self.groups());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let entries = fs::read_dir(self.root()).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let deleted = Command::new(env!("CARGO_BIN_EXE_keel"))
                .args(["runtime", "--root"])
                .arg(self.root())
                .args(["delete", "--force"])
                .arg(name)
                .output();
            drop(deleted);
        }
    }
}

impl Answer {
    pub(crate) fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// It failed, and said so with this word.
    pub(crate) fn failure(self, word: &str) -> Self {
        assert_eq!(self.code, Some(1), "{self:#?}");
        assert!(self.stderr.contains(word), "{word}: {self:#?}");
        self
    }
}

/// Waits for something to become true.
pub(crate) fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        poll(&mut [], PollTimeout::from(5_u16)).ok();
    }
}

/// One busybox for all, beside the scenes so that it can be linked. Written before anything is
/// started: a child that is just being made would hold it open for writing (`ETXTBSY`).
fn busybox() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        use std::os::unix::fs::PermissionsExt as _;
        let name = format!("keel-oci-busybox-{}", nix::unistd::getuid());
        let copy = std::env::temp_dir().join(name);
        let new = copy.with_extension(std::process::id().to_string());
        fs::copy("/bin/busybox", &new).expect("install busybox-static: /bin/busybox is missing");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, &copy).unwrap();
        copy
    })
}

fn spec(script: &str, cgroup: &str) -> Value {
    json!({
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "hostname": "scene",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "cwd": "/",
            "args": ["sh", "-c", script],
            "env": ["PATH=/bin"],
            "capabilities": {
                "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES
            }
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]},
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [
                {"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"},
                {"type": "network"},
            ],
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
        }
    })
}

const CAPABILITIES: [&str; 4] = ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_CHROOT", "CAP_NET_RAW"];
