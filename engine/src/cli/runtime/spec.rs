//! `keel runtime spec`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::Outcome;
use crate::oci::VERSION;

/// Write a config.json to begin with
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel-runtime spec
  keel-runtime spec --rootless --bundle /bundles/web")]
pub(super) struct Args {
    /// Folder to write it to
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// For a user who is not root: with a user namespace, and without what needs more
    #[arg(long)]
    rootless: bool,
}

/// Writes it; one that is there is kept.
pub(super) fn run(args: &Args) -> Outcome {
    let path = args.bundle.join("config.json");
    let mut config = config();
    if args.rootless {
        make_rootless(&mut config);
    }
    let text = serde_json::to_string_pretty(&config)? + "\n";
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn config() -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": source, "options": options});
    json!({
        "ociVersion": VERSION,
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm"
            ],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "keel",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", "devpts",
                &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", "shm",
                &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", "cgroup",
                &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        ],
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"},
                {"type": "mount"}, {"type": "cgroup"},
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
                "/sys/firmware",
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
            ],
        },
    })
}

/// One user in the container, who is the caller; no groups of devices, no control groups.
fn make_rootless(config: &mut Value) {
    let one = |host: u32| json!([{"containerID": 0, "hostID": host, "size": 1}]);
    let uid = one(nix::unistd::geteuid().as_raw());
    let gid = one(nix::unistd::getegid().as_raw());
    if let Some(linux) = config.get_mut("linux").and_then(Value::as_object_mut) {
        linux.remove("resources");
        linux.insert("uidMappings".to_owned(), uid);
        linux.insert("gidMappings".to_owned(), gid);
        if let Some(list) = linux.get_mut("namespaces").and_then(Value::as_array_mut) {
            list.push(json!({"type": "user"}));
        }
    }
    if let Some(mounts) = config.get_mut("mounts").and_then(Value::as_array_mut) {
        mounts.retain(|mount| mount.get("type") != Some(&json!("cgroup")));
        let options = mounts
            .iter_mut()
            .filter_map(|mount| mount.get_mut("options"));
        for options in options.filter_map(Value::as_array_mut) {
            options.retain(|option| option != &json!("gid=5"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_configurations_of_the_specification() {
        let mut config = config();
        let spec: oci_spec::runtime::Spec = serde_json::from_value(config.clone()).expect("a spec");
        assert_eq!(spec.mounts().as_ref().map(Vec::len), Some(7));
        make_rootless(&mut config);
        let spec: oci_spec::runtime::Spec = serde_json::from_value(config).expect("a spec");
        assert_eq!(spec.mounts().as_ref().map(Vec::len), Some(6));
        let linux = spec.linux().as_ref().expect("Linux");
        assert_eq!(linux.uid_mappings().as_ref().map(Vec::len), Some(1));
    }
}
