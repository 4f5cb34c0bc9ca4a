//! What Keel needs of a kernel, and what this one lacks.
//!
//! Ids are those of the support matrix. Everything is found by trying, never by version.

use std::path::Path;

use nix::sched::CloneFlags;

use super::cgroup::Hierarchies;
use crate::sys::program;

/// Something that the kernel lacks, with the id that the support matrix uses for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this kernel lacks {what} (requirement {id}); {remedy}")]
pub struct Missing {
    /// The requirement's id, such as `kernel.ns.pid`.
    pub id: &'static str,
    /// What is absent, in words.
    pub what: &'static str,
    /// What to change: a kernel option, a boot parameter, a mount.
    pub remedy: &'static str,
    /// Whether no container can run without it.
    pub level: Level,
}

/// How much a requirement matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// No container can be run without it.
    Must,
    /// Containers run, but a common option will be refused.
    Should,
}

const fn must(id: &'static str, what: &'static str, remedy: &'static str) -> Missing {
    Missing {
        id,
        what,
        remedy,
        level: Level::Must,
    }
}

const fn should(id: &'static str, what: &'static str, remedy: &'static str) -> Missing {
    Missing {
        id,
        what,
        remedy,
        level: Level::Should,
    }
}

/// No procfs at /proc.
pub(super) const PROC: Missing = must(
    "kernel.fs.proc",
    "a procfs at /proc",
    "mount it: mount -t proc proc /proc",
);

/// No cgroup hierarchy at all.
pub(super) const CGROUP: Missing = must(
    "kernel.cgroup.core",
    "a mounted cgroup hierarchy",
    "build with CONFIG_CGROUPS, and mount one: mount -t cgroup2 none /sys/fs/cgroup",
);

/// No seccomp filters.
pub(super) const SECCOMP: Missing = must(
    "kernel.security.seccomp",
    "system call filters",
    "build with CONFIG_SECCOMP and CONFIG_SECCOMP_FILTER, or run with --security-opt seccomp=unconfined",
);

/// No device control for the unified hierarchy.
pub(super) const CGROUP_BPF: Missing = must(
    "kernel.cgroup.bpf",
    "device programs for the unified cgroup hierarchy",
    "use Linux 4.15 or newer with CONFIG_CGROUP_BPF and CONFIG_BPF_SYSCALL, or mount the v1 devices hierarchy",
);

/// No accounting of swap.
pub(super) const SWAP: Missing = should(
    "kernel.cgroup.swap",
    "accounting of swap",
    "build with CONFIG_MEMCG_SWAP (before 5.8 boot with swapaccount=1), or leave the swap limit out",
);

/// File systems that containers usually have.
const FILESYSTEMS: [(&str, Missing); 4] = [
    (
        "mqueue",
        should(
            "kernel.ipc.mqueue",
            "POSIX message queues",
            "build with CONFIG_POSIX_MQUEUE, or leave /dev/mqueue out",
        ),
    ),
    (
        "devpts",
        must(
            "kernel.devices.unix98-ptys",
            "devpts",
            "build with CONFIG_UNIX98_PTYS (before 4.7 also CONFIG_DEVPTS_MULTIPLE_INSTANCES)",
        ),
    ),
    (
        "tmpfs",
        must(
            "kernel.fs.tmpfs",
            "tmpfs",
            "build with CONFIG_TMPFS and CONFIG_SHMEM",
        ),
    ),
    (
        "sysfs",
        must("kernel.fs.sysfs", "sysfs", "build with CONFIG_SYSFS"),
    ),
];

/// There is no cgroup hierarchy.
pub(crate) fn no_groups() -> super::Error {
    CGROUP.into()
}

/// What is missing when a file system is unknown; `None` for one that only this container asks for.
pub(super) fn filesystem(name: &str) -> Option<Missing> {
    FILESYSTEMS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, missing)| missing.clone())
}

/// A namespace each: flag, name in /proc/self/ns, what is missing without it.
const NAMESPACES: [(CloneFlags, &str, Missing); 6] = [
    (
        CloneFlags::CLONE_NEWPID,
        "pid",
        must(
            "kernel.ns.pid",
            "pid namespaces",
            "build with CONFIG_PID_NS",
        ),
    ),
    (
        CloneFlags::CLONE_NEWNS,
        "mnt",
        must(
            "kernel.ns.mnt",
            "mount namespaces",
            "build with CONFIG_NAMESPACES",
        ),
    ),
    (
        CloneFlags::CLONE_NEWUTS,
        "uts",
        must(
            "kernel.ns.uts",
            "uts namespaces",
            "build with CONFIG_UTS_NS",
        ),
    ),
    (
        CloneFlags::CLONE_NEWIPC,
        "ipc",
        must(
            "kernel.ns.ipc",
            "ipc namespaces",
            "build with CONFIG_IPC_NS",
        ),
    ),
    (
        CloneFlags::CLONE_NEWNET,
        "net",
        must(
            "kernel.ns.net",
            "network namespaces",
            "build with CONFIG_NET_NS",
        ),
    ),
    (
        CloneFlags::CLONE_NEWCGROUP,
        "cgroup",
        should(
            "kernel.ns.cgroup",
            "cgroup namespaces",
            "use Linux 4.6 or newer, or leave the cgroup namespace out",
        ),
    ),
];

/// Those that only bundles of other tools ask for.
const FURTHER_NAMESPACES: [(CloneFlags, &str, Missing); 2] = [
    (
        CloneFlags::CLONE_NEWUSER,
        "user",
        should(
            "kernel.ns.user",
            "user namespaces",
            "build with CONFIG_USER_NS, or leave the user namespace out",
        ),
    ),
    (
        CloneFlags::from_bits_retain(0x80),
        "time",
        should(
            "kernel.ns.time",
            "time namespaces",
            "use Linux 5.6 or newer with CONFIG_TIME_NS, or leave the time namespace out",
        ),
    ),
];

/// A v1 or v2 controller each.
const CONTROLLERS: [(&str, Missing); 9] = [
    (
        "memory",
        should(
            "kernel.cgroup.memory",
            "the memory controller",
            "build with CONFIG_MEMCG (v1 from 6.11: CONFIG_MEMCG_V1), boot with cgroup_enable=memory, and mount or delegate it",
        ),
    ),
    (
        "cpu",
        should(
            "kernel.cgroup.cpu",
            "the cpu controller",
            "build with CONFIG_CGROUP_SCHED and CONFIG_FAIR_GROUP_SCHED, and mount or delegate it",
        ),
    ),
    (
        "cpuacct",
        should(
            "kernel.cgroup.cpuacct",
            "the cpuacct controller",
            "build with CONFIG_CGROUP_CPUACCT, and mount it",
        ),
    ),
    (
        "pids",
        should(
            "kernel.cgroup.pids",
            "the pids controller",
            "use Linux 4.3 or newer with CONFIG_CGROUP_PIDS, and mount or delegate it",
        ),
    ),
    (
        "cpuset",
        should(
            "kernel.cgroup.cpuset",
            "the cpuset controller",
            "build with CONFIG_CPUSETS (v1 from 6.12: CONFIG_CPUSETS_V1), and mount or delegate it",
        ),
    ),
    (
        "freezer",
        should(
            "kernel.cgroup.freezer",
            "the freezer",
            "build with CONFIG_CGROUP_FREEZER; for the unified hierarchy use Linux 5.2 or newer",
        ),
    ),
    (
        "devices",
        must(
            "kernel.cgroup.devices",
            "the devices controller",
            "build with CONFIG_CGROUP_DEVICE, and mount it",
        ),
    ),
    (
        "io",
        should(
            "kernel.cgroup.blkio",
            "the block io controller",
            "build with CONFIG_BLK_CGROUP, and mount or delegate it",
        ),
    ),
    (
        "hugetlb",
        should(
            "kernel.cgroup.hugetlb",
            "the hugetlb controller",
            "build with CONFIG_CGROUP_HUGETLB, and mount or delegate it",
        ),
    ),
];

/// A requirement for a controller that is not in the table above.
const OTHER_CONTROLLER: Missing = should(
    "kernel.cgroup.hierarchy",
    "a controller that the limits need",
    "build the kernel with it, and mount or delegate it",
);

/// What is missing without a controller; v1's `blkio` is `io`.
pub(super) fn controller(name: &str) -> Missing {
    let name = if name == "blkio" { "io" } else { name };
    let known = CONTROLLERS
        .iter()
        .find(|(controller, _)| *controller == name);
    known.map_or(OTHER_CONTROLLER, |(_, missing)| missing.clone())
}

/// Makes sure that the kernel has these namespaces.
pub(super) fn namespaces(wanted: CloneFlags) -> Result<(), Missing> {
    for (flag, name, missing) in NAMESPACES.into_iter().chain(FURTHER_NAMESPACES) {
        if wanted.contains(flag) && !has_namespace(name) {
            return Err(missing);
        }
    }
    Ok(())
}

fn has_namespace(name: &str) -> bool {
    // mnt, pid and the others got their files in 3.8 at the latest.
    nix::unistd::access(
        &*Path::new("/proc/self/ns").join(name),
        nix::unistd::AccessFlags::F_OK,
    )
    .is_ok()
}

/// Makes sure that the kernel can filter system calls.
pub(super) fn seccomp() -> Result<(), Missing> {
    if program::filters_supported() {
        Ok(())
    } else {
        Err(SECCOMP)
    }
}

/// What this kernel lacks; empty when it is fit.
pub fn missing() -> Vec<Missing> {
    let mut missing = Vec::new();
    if super::plan::host_proc().is_err() {
        // Namespaces are probed through it, so nothing else can be told.
        return vec![PROC];
    }
    for (flag, _, _) in NAMESPACES {
        missing.extend(namespaces(flag).err());
    }
    missing.extend(seccomp().err());
    let hierarchies = Hierarchies::detect();
    if matches!(hierarchies, Hierarchies::Absent) {
        missing.push(CGROUP);
        return missing;
    }
    for (name, requirement) in CONTROLLERS {
        if !hierarchies.has_controller(name) {
            missing.push(requirement);
        }
    }
    missing
}
