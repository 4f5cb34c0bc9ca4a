//! What is mounted in a container, in which order.

use std::path::{Path, PathBuf};

use oci_spec::OciSpecError;
use oci_spec::runtime::{Mount, MountBuilder};

use super::config::HostConfig;
use super::options::{Access, Tmpfs};
use super::spec::{Facts, Presence};

/// A mount that every container gets: destination, type, source, options.
type Default_ = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

const PROC: Default_ = ("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]);
const DEV: Default_ = (
    "/dev",
    "tmpfs",
    "tmpfs",
    &["nosuid", "strictatime", "mode=755", "size=65536k"],
);
const PTS: Default_ = (
    "/dev/pts",
    "devpts",
    "devpts",
    &[
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
    ],
);
/// The group that may write to terminals (`tty`).
const PTS_GROUP: &str = "gid=5";
const MQUEUE: Default_ = (
    "/dev/mqueue",
    "mqueue",
    "mqueue",
    &["nosuid", "noexec", "nodev"],
);
const SYS: (&str, &str) = ("/sys", "sysfs");
const CGROUP: (&str, &str) = ("/sys/fs/cgroup", "cgroup");
const SHM: &str = "/dev/shm";
const SHM_SIZE: u64 = 64 << 20;

/// The files that tell a container its name and where to ask for others'.
const FILES: [&str; 3] = ["resolv.conf", "hostname", "hosts"];

/// All mounts, in the order in which they are made: what lies above comes first.
pub(super) fn mounts(host: &HostConfig, facts: &Facts) -> Result<Vec<Mount>, OciSpecError> {
    let writable = if host.privileged { "rw" } else { "ro" };
    let with_access = |(target, kind): (&str, &str), more: &[&str]| {
        let mut options = vec!["nosuid", "noexec", "nodev"];
        options.extend_from_slice(more);
        options.push(writable);
        mount(target, kind, Path::new(kind), &options)
    };
    let shm_size = format!("size={}", host.shm_size.map_or(SHM_SIZE, |size| size.0));
    let mut all = vec![
        fixed(&PROC)?,
        fixed(&DEV)?,
        pts(facts.tty_group)?,
        with_access(SYS, &[])?,
        fixed(&MQUEUE)?,
        mount(
            SHM,
            "tmpfs",
            Path::new("shm"),
            &["nosuid", "noexec", "nodev", "mode=1777", &shm_size],
        )?,
    ];
    if facts.cgroups == Presence::Present {
        all.push(with_access(CGROUP, &["relatime"])?);
    }
    if let Some(folder) = &facts.files {
        for file in FILES {
            let target = Path::new("/etc").join(file);
            all.push(bind(&folder.join(file), &target, Access::ReadWrite)?);
        }
    }
    let wanted: Vec<&Path> = host
        .volumes
        .iter()
        .map(|volume| volume.target.as_path())
        .chain(host.tmpfs.iter().map(|tmpfs| tmpfs.target.as_path()))
        .collect();
    // What the user puts in a default's place replaces it, and what lay below it.
    all.retain(|default| {
        !wanted
            .iter()
            .any(|wanted| default.destination().starts_with(wanted))
    });
    let mut own = Vec::with_capacity(wanted.len());
    for tmpfs in &host.tmpfs {
        own.push(in_memory(tmpfs)?);
    }
    for volume in &host.volumes {
        // All have a source by now: it is settled when the container is made.
        if let Some(source) = volume.on_host(&facts.volumes) {
            own.push(bind(&source, &volume.target, volume.access)?);
        }
    }
    // A folder comes before what is in it, whatever order the flags came in.
    own.sort_by_key(|mount| mount.destination().components().count());
    all.extend(own);
    Ok(all)
}

fn fixed(&(target, kind, source, options): &Default_) -> Result<Mount, OciSpecError> {
    mount(target, kind, Path::new(source), options)
}

fn pts(tty_group: Presence) -> Result<Mount, OciSpecError> {
    let (target, kind, source, options) = PTS;
    let group = match tty_group {
        Presence::Present => Some(PTS_GROUP),
        Presence::Absent => None,
    };
    let options: Vec<_> = options.iter().copied().chain(group).collect();
    mount(target, kind, Path::new(source), &options)
}

fn in_memory(tmpfs: &Tmpfs) -> Result<Mount, OciSpecError> {
    let mut options = vec!["nosuid", "nodev", "noexec"];
    // A later option wins, so `exec` among the user's own undoes the default.
    options.extend(tmpfs.options.iter().map(String::as_str));
    mount_at(&tmpfs.target, "tmpfs", Path::new("tmpfs"), &options)
}

fn bind(source: &Path, target: &Path, access: Access) -> Result<Mount, OciSpecError> {
    let access = match access {
        Access::ReadOnly => "ro",
        Access::ReadWrite => "rw",
    };
    mount_at(target, "bind", source, &["rbind", "rprivate", access])
}

fn mount(target: &str, kind: &str, source: &Path, options: &[&str]) -> Result<Mount, OciSpecError> {
    mount_at(Path::new(target), kind, source, options)
}

fn mount_at(
    target: &Path,
    kind: &str,
    source: &Path,
    options: &[&str],
) -> Result<Mount, OciSpecError> {
    let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
    MountBuilder::default()
        .destination(target)
        .typ(kind)
        .source(PathBuf::from(source))
        .options(options)
        .build()
}
