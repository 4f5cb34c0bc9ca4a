//! Sets the scene: a rootfs of busybox, a Docker-like spec, a launch, and what it wrote.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use keel::runtime::cgroup::CgroupPath;
use keel::runtime::{Console, Error, ExitStatus, Init, Launch, Process, Stdio, launch};
use oci_spec::runtime::{LinuxSeccomp, Spec};
use serde_json::{Value, json};

/// A container to be.
pub(crate) struct Scene {
    folder: Arc<tempfile::TempDir>,
    pub(crate) spec: Value,
    pub(crate) cgroup: Option<CgroupPath>,
    pub(crate) init: Init,
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
}

/// A started container. Dropping it kills it.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) output: File,
    reaped: bool,
    /// The rootfs must outlive the container: removing a folder on the host detaches what is
    /// mounted on it elsewhere.
    _folder: Arc<tempfile::TempDir>,
}

const APPLETS: [&str; 19] = [
    "sh", "true", "cat", "ls", "id", "sleep", "echo", "mount", "ip", "grep", "stat", "touch",
    "hostname", "kill", "readlink", "dd", "mkdir", "tty", "cut",
];

/// Where cargo lets tests write.
const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

/// One busybox for all. Written before the first container is cloned: a child that is just being
/// made would hold the file open for writing, and nobody could execute it (`ETXTBSY`).
fn busybox() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let copy = Path::new(SCRATCH).join("busybox");
        let new = Path::new(SCRATCH).join(format!("busybox-{}", std::process::id()));
        fs::copy("/bin/busybox", &new).expect("install busybox-static: /bin/busybox is missing");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("executable");
        fs::rename(&new, &copy).expect("in its place");
        copy
    })
}

impl Scene {
    /// A container that runs `script` in a shell.
    pub(crate) fn new(script: &str) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "these tests need root: run them with sudo"
        );
        let folder = tempfile::tempdir_in(SCRATCH).expect("a folder");
        let bin = folder.path().join("rootfs/bin");
        fs::create_dir_all(&bin).expect("a rootfs");
        fs::hard_link(busybox(), bin.join("busybox")).expect("a busybox");
        for applet in APPLETS {
            symlink("busybox", bin.join(applet)).expect("a link");
        }
        // Others than root must get in too.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("readable");
        Self {
            folder: Arc::new(folder),
            spec: spec(script),
            cgroup: None,
            init: Init::No,
        }
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.folder.path().join("rootfs")
    }

    /// A folder on the host, for volumes.
    pub(crate) fn host(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path).expect("a host folder");
        path
    }

    /// Changes the spec at a JSON pointer.
    pub(crate) fn set(mut self, pointer: &str, value: Value) -> Self {
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        self.spec.pointer_mut(parent).expect("a parent")[name] = value;
        self
    }

    pub(crate) fn mount(mut self, mount: Value) -> Self {
        self.spec["mounts"]
            .as_array_mut()
            .expect("mounts")
            .push(mount);
        self
    }

    /// Puts it into a cgroup of its own.
    pub(crate) fn in_cgroup(mut self) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = format!("/keel-test/{}-{number}", std::process::id());
        self.cgroup = Some(CgroupPath::parse(&path).expect("a path"));
        self
    }

    pub(crate) fn with_default_seccomp(self) -> Self {
        let profile: LinuxSeccomp =
            keel::runtime::seccomp::default_profile(&capabilities().into_iter().collect());
        self.set(
            "/linux/seccomp",
            serde_json::to_value(profile).expect("JSON"),
        )
    }

    pub(crate) fn start_on(&self, console: Console) -> Result<Running, Error> {
        let (output, writer) = pipe();
        let (stdin, stdout) = (
            File::open("/dev/null").expect("/dev/null").into(),
            writer.try_clone().expect("a copy"),
        );
        let spec: Spec = serde_json::from_value(self.spec.clone()).expect("a spec");
        let process = launch(Launch {
            id: "test",
            spec: &spec,
            filter: None,
            rootfs: &self.rootfs(),
            mount: None,
            cgroup: self.cgroup.as_ref(),
            stdio: Stdio::Fds {
                stdin,
                stdout,
                stderr: writer,
            },
            init: self.init,
            console,
        })?;
        Ok(Running {
            process,
            output,
            reaped: false,
            _folder: Arc::clone(&self.folder),
        })
    }

    pub(crate) fn start(&self) -> Running {
        self.start_on(Console::None)
            .unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    pub(crate) fn refusal(&self) -> Error {
        match self.start_on(Console::None) {
            Ok(running) => panic!("was started, as {}", running.process.pid()),
            Err(error) => error,
        }
    }

    pub(crate) fn run(&self) -> Outcome {
        self.start().finish()
    }

    /// What the script wrote; it must have ended well.
    pub(crate) fn output(&self) -> String {
        let outcome = self.run();
        assert_eq!(outcome.status, ExitStatus::Exited(0), "{}", outcome.output);
        outcome.output
    }
}

impl Running {
    pub(crate) fn finish(mut self) -> Outcome {
        let mut output = String::new();
        self.output.read_to_string(&mut output).expect("output");
        let status = self.process.wait().expect("an exit status");
        self.reaped = true;
        if let Some(cgroup) = self.process.cgroup() {
            cgroup.remove().expect("the cgroup can be removed");
        }
        Outcome { status, output }
    }

    /// Reads until the container has written a line.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        let mut byte = [0];
        while self.output.read(&mut byte).expect("output") == 1 {
            if byte == *b"\n" {
                return line;
            }
            line.push(char::from(byte[0]));
        }
        panic!("ended after {line:?}")
    }

    pub(crate) fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.process.pid())).join(file)
    }

    pub(crate) fn proc_text(&self, file: &str) -> String {
        fs::read_to_string(self.proc(file)).expect("a file of /proc")
    }

    pub(crate) fn namespace(&self, name: &str) -> PathBuf {
        fs::read_link(self.proc("ns").join(name)).expect("a namespace")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            // A test that fails must not leave its container behind.
            drop(self.process.kill(nix::sys::signal::Signal::SIGKILL));
            drop(self.process.wait());
            if let Some(cgroup) = self.process.cgroup() {
                drop(cgroup.remove());
            }
        }
    }
}

/// An error with all its reasons.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut reason = error.source();
    while let Some(error) = reason {
        text = format!("{text}: {error}");
        reason = error.source();
    }
    text
}

pub(crate) fn pipe() -> (File, OwnedFd) {
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).expect("a pipe");
    (reader.into(), writer)
}

pub(crate) fn capabilities() -> Vec<oci_spec::runtime::Capability> {
    use oci_spec::runtime::Capability as Cap;
    vec![
        Cap::Chown,
        Cap::DacOverride,
        Cap::Fsetid,
        Cap::Fowner,
        Cap::Mknod,
        Cap::NetRaw,
        Cap::Setgid,
        Cap::Setuid,
        Cap::Setfcap,
        Cap::Setpcap,
        Cap::NetBindService,
        Cap::SysChroot,
        Cap::Kill,
        Cap::AuditWrite,
    ]
}

/// What a Docker-like command line would make.
fn spec(script: &str) -> Value {
    let capabilities = serde_json::to_value(capabilities()).expect("JSON");
    json!({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "hostname": "keel-test",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/sh", "-c", script],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "noNewPrivileges": true
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=64m"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "ipc"}, {"type": "network"}, {"type": "cgroup"}],
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}

/// Whether a path exists, links not followed.
pub(crate) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
