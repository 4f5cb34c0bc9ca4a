//! The init process of a kernel without a distribution.
//!
//! It sets the machine up as its manifest says, starts the agent as a process of its own, reaps
//! orphans, and powers the machine off when the agent ends: the agent's channel is all that the
//! machine is for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use matrix::axis::CgroupMode;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::wait::waitpid;
use nix::unistd::{chroot, sethostname};
use serde::{Deserialize, Serialize};

use super::devices::{DEVICE_WITHIN, DeviceError, Devices};
use super::message::Mount;
use super::modules::{self, ModuleError, with_causes};
use super::{PORT, cgroups, facts, server};
use crate::sys;

/// Where the manifest is in an initramfs.
pub const MANIFEST: &str = "/etc/seaworthy/machine.json";

/// What every message on the console begins with, for who watches it.
pub const PREFIX: &str = "seaworthy-init: ";

/// What the message begins with that says why a machine can't be set up.
pub const FAILED: &str = "seaworthy-init: failed: ";

/// Where the rest of the root file system is bound to while it moves.
const NEW_ROOT: &str = "/.root";

/// How a machine is to be set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its name.
    pub hostname: String,
    /// How control groups are mounted.
    pub cgroup: CgroupMode,
    /// Files of kernel modules, in the order in which they are loaded.
    pub modules: Vec<String>,
    /// File systems to mount on devices that appear.
    pub mounts: Vec<Mount>,
}

/// Why a machine can't be set up.
#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("can't mount {filesystem} on {target}")]
    Mount {
        filesystem: String,
        target: String,
        #[source]
        source: io::Error,
    },
    #[error("can't leave the initial root file system")]
    Root(#[source] io::Error),
    #[error("can't read the manifest {MANIFEST}")]
    Manifest(#[source] io::Error),
    #[error(transparent)]
    Module(#[from] ModuleError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("can't start the agent")]
    Agent(#[source] io::Error),
}

/// A file system of every Linux system.
struct Early {
    filesystem: &'static str,
    target: &'static str,
    flags: MsFlags,
    options: &'static str,
}

const NO_PROGRAMS: MsFlags = MsFlags::MS_NOSUID
    .union(MsFlags::MS_NODEV)
    .union(MsFlags::MS_NOEXEC);

/// In this order. `/dev` comes first, as messages go to `/dev/console`.
const EARLY: [Early; 8] = [
    Early {
        filesystem: "devtmpfs",
        target: "/dev",
        flags: MsFlags::MS_NOSUID,
        options: "mode=0755",
    },
    Early {
        filesystem: "proc",
        target: "/proc",
        flags: NO_PROGRAMS,
        options: "",
    },
    Early {
        filesystem: "sysfs",
        target: "/sys",
        flags: NO_PROGRAMS,
        options: "",
    },
    Early {
        filesystem: "devpts",
        target: "/dev/pts",
        flags: MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC),
        options: "mode=0620,gid=5,ptmxmode=0666",
    },
    Early {
        filesystem: "tmpfs",
        target: "/dev/shm",
        flags: MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV),
        options: "mode=1777",
    },
    Early {
        filesystem: "tmpfs",
        target: "/run",
        flags: MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV),
        options: "mode=0755",
    },
    Early {
        filesystem: "tmpfs",
        target: "/tmp",
        flags: MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV),
        options: "mode=1777",
    },
    Early {
        filesystem: "mqueue",
        target: "/dev/mqueue",
        flags: NO_PROGRAMS,
        options: "",
    },
];

/// Whether this process is the init process of a machine that this program was put into.
pub fn is_init(argv0: &std::ffi::OsStr) -> bool {
    std::process::id() == 1 && argv0 == "/init"
}

/// Does all that an init process does. Returns only if even powering off is refused.
pub fn run() -> ExitCode {
    match set_up() {
        Ok(agent) => reap_until_end_of(&agent),
        Err(error) => say(&format!("failed: {}", with_causes(&error))),
    }
    nix::unistd::sync();
    match reboot(RebootMode::RB_POWER_OFF) {
        Ok(never) => match never {},
        Err(error) => say(&format!("can't power off: {error}")),
    }
    ExitCode::FAILURE
}

/// Says something on the console.
fn say(message: &str) {
    if let Ok(mut console) = OpenOptions::new().write(true).open("/dev/console") {
        // There is nowhere else to say it.
        let _unheard = console.write_all(format!("{PREFIX}{message}\n").as_bytes());
    }
}

/// What went wrong without making the machine useless; also said on the console.
#[derive(Debug, Default)]
pub(super) struct Warnings(Vec<String>);

impl Warnings {
    pub(super) fn add(&mut self, message: String) {
        say(&message);
        self.0.push(message);
    }

    fn keep(&self) {
        if let Err(error) = fs::write(facts::WARNINGS, self.0.join("\n")) {
            say(&format!("can't write {}: {error}", facts::WARNINGS));
        }
    }
}

fn set_up() -> Result<Child, InitError> {
    let mut warnings = Warnings::default();
    leave_initial_root().map_err(InitError::Root)?;
    mount_early(&mut warnings)?;
    let manifest = read_manifest().map_err(InitError::Manifest)?;
    // From before the drivers are loaded, so that no device is missed.
    let mut devices = Devices::watch()?;
    for module in &manifest.modules {
        modules::load(module.as_ref(), "")?;
    }
    if let Err(error) = sethostname(&manifest.hostname) {
        warnings.add(format!("can't set the host name: {error}"));
    }
    if let Err(error) = sys::net::loopback_up() {
        warnings.add(format!("can't bring the loopback interface up: {error}"));
    }
    cgroups::mount_all(manifest.cgroup, &mut warnings);
    for request in &manifest.mounts {
        server::mount(request).map_err(|source| InitError::Mount {
            filesystem: request.filesystem.clone(),
            target: request.target.clone(),
            source,
        })?;
    }
    warnings.keep();
    let port = devices.wait_for_port(PORT, DEVICE_WITHIN)?;
    start_agent(&port).map_err(InitError::Agent)
}

/// Moves to a root from which `pivot_root` works.
///
/// The root that the kernel unpacked the initramfs into can't be pivoted from (`pivot_root(2)`:
/// the rootfs can't be the current root), which is what container engines do. A second mount of
/// the same file system, moved over the first, can, and nothing is copied.
fn leave_initial_root() -> io::Result<()> {
    const NONE: Option<&str> = None;
    fs::create_dir_all(NEW_ROOT)?;
    mount(Some("/"), NEW_ROOT, NONE, MsFlags::MS_BIND, NONE)?;
    std::env::set_current_dir(NEW_ROOT)?;
    mount(Some("."), "/", NONE, MsFlags::MS_MOVE, NONE)?;
    chroot(".")?;
    std::env::set_current_dir("/")?;
    // Mounts propagate between namespaces on systems with systemd, and engines expect it.
    mount(NONE, "/", NONE, MsFlags::MS_SHARED | MsFlags::MS_REC, NONE)?;
    fs::remove_dir(NEW_ROOT)
}

fn mount_early(warnings: &mut Warnings) -> Result<(), InitError> {
    for early in &EARLY {
        let result = fs::create_dir_all(early.target).and_then(|()| {
            let options = Some(early.options).filter(|options| !options.is_empty());
            Ok(mount(
                Some(early.filesystem),
                early.target,
                Some(early.filesystem),
                early.flags,
                options,
            )?)
        });
        match result {
            Ok(()) => {}
            // Not in every kernel, and only some programs need it.
            Err(error) if early.filesystem == "mqueue" => {
                warnings.add(format!("can't mount mqueue: {error}"));
            }
            Err(source) => {
                return Err(InitError::Mount {
                    filesystem: early.filesystem.to_owned(),
                    target: early.target.to_owned(),
                    source,
                });
            }
        }
    }
    let links = [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
    ];
    for (target, link) in links {
        if let Err(error) = symlink(target, link) {
            warnings.add(format!("can't make {link}: {error}"));
        }
    }
    Ok(())
}

fn read_manifest() -> io::Result<Manifest> {
    let text = fs::read(MANIFEST)?;
    serde_json::from_slice(&text).map_err(io::Error::from)
}

/// Starts the agent on the port's device, which is its standard input and output.
fn start_agent(port: &Path) -> io::Result<Child> {
    let port = File::options().read(true).write(true).open(port)?;
    let child = Command::new("/proc/self/exe")
        .args(["agent", "--stdio"])
        .env_clear()
        .stdin(Stdio::from(port.try_clone()?))
        .stdout(Stdio::from(port))
        .spawn()?;
    // The machine is of no use without it: it comes before all others, and dies last.
    let score = format!("/proc/{}/oom_score_adj", child.id());
    fs::write(score, "-1000")?;
    sys::child::set_priority_of(sys::child::pid(&child), -10)?;
    Ok(child)
}

/// Reaps the children that other processes leave behind, until the agent ends.
fn reap_until_end_of(agent: &Child) {
    let agent = sys::child::pid(agent);
    loop {
        match waitpid(None, None) {
            Ok(status) if status.pid() == Some(agent) => return,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                say(&format!("can't wait for processes: {error}"));
                return;
            }
        }
    }
}
