//! What shows itself as a file.

use std::path::Path;

use super::{Findings, not_loaded, note, works};

/// What the absence of a file says.
#[derive(Clone, Copy)]
enum Absence {
    /// Nothing: not every kernel or system that has it shows it there.
    Nothing,
    /// That it is not there now; a module may bring it.
    NotLoaded,
}

/// Requirement, the file whose presence proves it, and what its absence says.
const FILES: [(&str, &str, Absence); 19] = [
    ("kernel.ns.core", "/proc/self/ns/uts", Absence::Nothing),
    ("kernel.fs.proc", "/proc/version", Absence::Nothing),
    ("kernel.fs.sysfs", "/sys/kernel", Absence::Nothing),
    ("kernel.cgroup.core", "/proc/self/cgroup", Absence::Nothing),
    ("kernel.security.keys", "/proc/keys", Absence::Nothing),
    (
        "kernel.devices.pts-instances",
        "/dev/pts/ptmx",
        Absence::Nothing,
    ),
    ("kernel.devices.unix98-ptys", "/dev/ptmx", Absence::Nothing),
    ("kernel.net.inet", "/proc/sys/net/ipv4", Absence::Nothing),
    ("kernel.net.ipv6", "/proc/sys/net/ipv6", Absence::NotLoaded),
    ("kernel.net.unix", "/proc/net/unix", Absence::NotLoaded),
    ("kernel.net.packet", "/proc/net/packet", Absence::NotLoaded),
    (
        "kernel.net.netfilter",
        "/proc/net/netfilter",
        Absence::Nothing,
    ),
    (
        "kernel.net.conntrack",
        "/proc/sys/net/netfilter/nf_conntrack_max",
        Absence::NotLoaded,
    ),
    ("kernel.net.veth", "/sys/module/veth", Absence::Nothing),
    ("kernel.net.bridge", "/sys/module/bridge", Absence::Nothing),
    (
        "kernel.net.bridge-netfilter",
        "/proc/sys/net/bridge/bridge-nf-call-iptables",
        Absence::NotLoaded,
    ),
    (
        "kernel.security.seccomp",
        "/proc/sys/kernel/seccomp/actions_avail",
        Absence::Nothing,
    ),
    (
        "kernel.security.selinux",
        "/sys/fs/selinux/enforce",
        Absence::NotLoaded,
    ),
    (
        "kernel.security.apparmor",
        "/sys/kernel/security/apparmor",
        Absence::NotLoaded,
    ),
];

pub(super) fn probe(findings: &mut Findings) {
    for (id, file, absence) in FILES {
        match (Path::new(file).exists(), absence) {
            (true, _) => note(findings, id, works(format!("{file} is there"))),
            (false, Absence::NotLoaded) => {
                note(findings, id, not_loaded(format!("{file} is not there")));
            }
            (false, Absence::Nothing) => {}
        }
    }
}
