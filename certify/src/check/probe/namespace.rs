//! Namespaces: each is entered.

use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

use super::{Findings, fails, note, undecided, works};

/// The namespaces that a thread may enter on its own.
const KINDS: [(&str, &str, CloneFlags); 6] = [
    ("kernel.ns.mnt", "mnt", CloneFlags::CLONE_NEWNS),
    ("kernel.ns.uts", "uts", CloneFlags::CLONE_NEWUTS),
    ("kernel.ns.ipc", "ipc", CloneFlags::CLONE_NEWIPC),
    ("kernel.ns.net", "net", CloneFlags::CLONE_NEWNET),
    ("kernel.ns.cgroup", "cgroup", CloneFlags::CLONE_NEWCGROUP),
    // Last: children of this thread would be born into it.
    ("kernel.ns.pid", "pid", CloneFlags::CLONE_NEWPID),
];

pub(super) fn probe(findings: &mut Findings) {
    // Asked first: the child must not be born into the namespaces entered below.
    note(findings, "kernel.ns.user", user());
    for (id, name, flag) in KINDS {
        let finding = match unshare(flag) {
            Ok(()) => works(format!("a new {name} namespace was entered")),
            // Without the privilege the kernel refuses before it looks; it shows what it has.
            Err(Errno::EPERM) if Path::new("/proc/self/ns").join(name).exists() => {
                works(format!("/proc/self/ns/{name} is there"))
            }
            Err(Errno::EPERM) => undecided(format!("entering a {name} namespace needs root")),
            Err(errno) => fails(format!("entering a {name} namespace gives {errno}")),
        };
        note(findings, id, finding);
    }
}

/// A process with threads can't enter a user namespace, so a child does: `unshare(1)`, with a
/// mount inside, since some systems grant the namespace and then no right in it (Ubuntu 24.04's
/// `kernel.apparmor_restrict_unprivileged_userns`).
fn user() -> matrix::support::Probe {
    if !Path::new("/proc/self/ns/user").exists() {
        return fails("/proc/self/ns/user is not there");
    }
    let limit = std::fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    if limit.trim() == "0" {
        return fails("user.max_user_namespaces is 0, so that none can be made");
    }
    let tried = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "mount",
            "-t",
            "tmpfs",
            "none",
            "/mnt",
        ])
        .output();
    match tried {
        Ok(output) if output.status.success() => {
            works("a tmpfs was mounted in a new user namespace")
        }
        Ok(output) => fails(format!(
            "mounting in a new user namespace fails: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        // A micro target has no such program; there is nobody there to restrict it either.
        Err(_) => works("/proc/self/ns/user is there"),
    }
}
