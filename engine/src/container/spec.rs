//! A container's configuration as an OCI runtime spec: a pure function.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capabilities, LinuxBlockIoBuilder, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxCpuBuilder,
    LinuxDevice, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxMemoryBuilder,
    LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxPidsBuilder, LinuxResources,
    LinuxResourcesBuilder, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};

use super::config::{Config, HostConfig, ProcessConfig, variable};
use super::options::{Bytes, Cpus, SwapLimit, Ulimit};
use super::spec_mounts::mounts;
use super::user::Identity;
use crate::volume::Volumes;

/// What the configuration cannot know: what was found on this host and in this image.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Who the process is.
    pub identity: Identity,
    /// The capabilities that a container of this configuration may have at most.
    pub capabilities: Capabilities,
    /// The devices that were asked for, as they are on this host.
    pub devices: Vec<(LinuxDevice, String)>,
    /// Whether this kernel has control groups at all, to be shown inside.
    pub cgroups: Presence,
    /// Whether a group can be told which devices may be used: by the host's root alone. In a user
    /// namespace no device can be made, nor opened but through the host's own files.
    pub device_rules: Presence,
    /// Whether there is a group 5, which terminals have.
    pub tty_group: Presence,
    /// Whether this kernel has namespaces for them (4.6).
    pub cgroup_namespaces: Presence,
    /// Whether this kernel can limit swap.
    pub swap_limit: Presence,
    /// The folder that holds `hostname`, `hosts` and `resolv.conf` for the container; `None`: they
    /// are in its tree already.
    pub files: Option<PathBuf>,
    /// The volumes of this root folder.
    pub volumes: Volumes,
}

/// Whether something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    Present,
    /// It is not.
    Absent,
}

impl From<bool> for Presence {
    fn from(present: bool) -> Self {
        if present { Self::Present } else { Self::Absent }
    }
}

/// Hidden from all but privileged containers: they tell of the host, or let it be harmed.
const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/devices/system/cpu/cpu0/thermal_throttle",
    "/sys/firmware",
];

/// Read-only for all but privileged containers: writing there would change the host.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// A spec's `ociVersion`: that of the specification's release which Keel was written against.
const OCI_VERSION: &str = "1.2.0";

/// The spec of a container.
///
/// # Errors
/// None that a test would not have met: the builders refuse only what is left out.
pub fn spec(config: &Config, facts: &Facts) -> Result<Spec, OciSpecError> {
    let host = &config.host;
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(facts)?)
        .resources(resources(host, facts)?)
        .cgroups_path(PathBuf::from(&host.cgroup))
        .rootfs_propagation("rprivate".to_owned())
        .devices(
            facts
                .devices
                .iter()
                .map(|(device, _)| device.clone())
                .collect::<Vec<_>>(),
        )
        .masked_paths(Vec::new())
        .readonly_paths(Vec::new());
    if !host.sysctls.is_empty() {
        linux = linux.sysctl(host.sysctls.clone().into_iter().collect::<HashMap<_, _>>());
    }
    if !host.privileged {
        linux = linux
            .masked_paths(MASKED.map(str::to_owned).to_vec())
            .readonly_paths(READ_ONLY.map(str::to_owned).to_vec());
    }
    SpecBuilder::default()
        .version(OCI_VERSION)
        .root(
            RootBuilder::default()
                .path("rootfs")
                .readonly(host.read_only)
                .build()?,
        )
        .hostname(config.process.hostname.clone())
        .domainname(host.domainname.clone().unwrap_or_default())
        .annotations(
            host.annotations
                .clone()
                .into_iter()
                .collect::<HashMap<_, _>>(),
        )
        .mounts(mounts(host, facts)?)
        .process(process(
            &config.process,
            host,
            &facts.identity,
            &facts.capabilities,
        )?)
        .linux(linux.build()?)
        .build()
}

/// The process of a container, or another one in it.
pub(super) fn process(
    process: &ProcessConfig,
    host: &HostConfig,
    identity: &Identity,
    capabilities: &Capabilities,
) -> Result<Process, OciSpecError> {
    let mut env = process.env.clone();
    if !env.iter().any(|known| variable(known) == "HOME") {
        env.push(format!("HOME={}", identity.home));
    }
    let cwd = match process.working_dir.as_str() {
        "" => PathBuf::from("/"),
        folder => Path::new("/").join(folder),
    };
    let mut user = UserBuilder::default().uid(identity.uid).gid(identity.gid);
    if !identity.groups.is_empty() {
        user = user.additional_gids(identity.groups.clone());
    }
    // Docker gives a process that is not root no capabilities but those in the bounding set,
    // which a set-user-id program can use. Inheritable stays empty: CVE-2022-24769.
    let effective = if identity.uid == 0 {
        capabilities.clone()
    } else {
        Capabilities::new()
    };
    let mut builder = ProcessBuilder::default()
        .terminal(process.tty)
        .user(user.build()?)
        .args(process.args())
        .env(env)
        .cwd(cwd)
        .no_new_privileges(host.no_new_privileges.unwrap_or(!host.privileged))
        .capabilities(
            LinuxCapabilitiesBuilder::default()
                .bounding(capabilities.clone())
                .effective(effective.clone())
                .permitted(effective)
                .inheritable(Capabilities::new())
                .ambient(Capabilities::new())
                .build()?,
        );
    if let Some(score) = host.oom_score_adj {
        builder = builder.oom_score_adj(score);
    }
    let limits: Vec<_> = host.ulimits.iter().filter_map(Ulimit::rlimit).collect();
    if !limits.is_empty() {
        builder = builder.rlimits(limits);
    }
    builder.build()
}

fn namespaces(facts: &Facts) -> Result<Vec<LinuxNamespace>, OciSpecError> {
    let mut kinds = vec![
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Network,
    ];
    if facts.cgroup_namespaces == Presence::Present {
        kinds.push(LinuxNamespaceType::Cgroup);
    }
    let build = |kind| LinuxNamespaceBuilder::default().typ(kind).build();
    kinds.into_iter().map(build).collect()
}

fn resources(host: &HostConfig, facts: &Facts) -> Result<LinuxResources, OciSpecError> {
    let mut resources = limits(host, facts.swap_limit)?;
    if facts.device_rules == Presence::Present {
        resources.set_devices(Some(device_rules(host, facts)?));
    }
    Ok(resources)
}

/// What the container may use of memory, processors and process ids.
pub(super) fn limits(
    host: &HostConfig,
    swap_limit: Presence,
) -> Result<LinuxResources, OciSpecError> {
    let mut resources = LinuxResourcesBuilder::default();
    let bytes = |bytes: Bytes| i64::try_from(bytes.0).unwrap_or(i64::MAX);
    if host.memory.is_some() || host.memory_reservation.is_some() {
        let mut builder = LinuxMemoryBuilder::default();
        if let Some(memory) = host.memory {
            builder = builder.limit(bytes(memory));
            // Swap that was asked for is limited or refused, the default is left out where the
            // kernel cannot limit it.
            if host.memory_swap.is_some() || swap_limit == Presence::Present {
                let swap = host.memory_swap.unwrap_or(SwapLimit::twice(memory));
                builder = builder.swap(swap.memory_and_swap());
            }
        }
        if let Some(reservation) = host.memory_reservation {
            builder = builder.reservation(bytes(reservation));
        }
        resources = resources.memory(builder.build()?);
    }
    if let Some(weight) = host.blkio_weight {
        resources = resources.block_io(LinuxBlockIoBuilder::default().weight(weight).build()?);
    }
    let cpuset = host.cpuset_cpus.is_some() || host.cpuset_mems.is_some();
    let quota = host.cpus.is_some() || host.cpu_quota.is_some() || host.cpu_period.is_some();
    if cpuset || quota || host.cpu_shares.is_some() {
        let mut cpu = LinuxCpuBuilder::default();
        if let Some(period) = host.cpu_period {
            cpu = cpu.period(period);
        }
        if let Some(quota) = host.cpu_quota {
            cpu = cpu.quota(quota);
        }
        if let Some(cpus) = &host.cpuset_cpus {
            cpu = cpu.cpus(cpus.clone());
        }
        if let Some(mems) = &host.cpuset_mems {
            cpu = cpu.mems(mems.clone());
        }
        if let Some(cpus) = host.cpus {
            cpu = cpu.quota(cpus.quota_us()).period(Cpus::PERIOD_US);
        }
        if let Some(shares) = host.cpu_shares {
            cpu = cpu.shares(shares);
        }
        resources = resources.cpu(cpu.build()?);
    }
    if let Some(limit) = host.pids_limit {
        resources = resources.pids(LinuxPidsBuilder::default().limit(limit).build()?);
    }
    let mut resources = resources.build()?;
    // The builder's default is rules of its own.
    resources.set_devices(None);
    Ok(resources)
}

/// A device number of a rule: any, or one.
type Number = Option<i64>;

/// Docker's list: nodes of any kind may be made, only harmless ones opened.
const ALLOWED: [(LinuxDeviceType, Number, Number, &str); 10] = [
    (LinuxDeviceType::C, None, None, "m"),
    (LinuxDeviceType::B, None, None, "m"),
    (LinuxDeviceType::C, Some(1), Some(3), "rwm"), // null
    (LinuxDeviceType::C, Some(1), Some(5), "rwm"), // zero
    (LinuxDeviceType::C, Some(1), Some(7), "rwm"), // full
    (LinuxDeviceType::C, Some(1), Some(8), "rwm"), // random
    (LinuxDeviceType::C, Some(1), Some(9), "rwm"), // urandom
    (LinuxDeviceType::C, Some(5), Some(0), "rwm"), // tty
    (LinuxDeviceType::C, Some(5), Some(2), "rwm"), // ptmx
    (LinuxDeviceType::C, Some(136), None, "rwm"),  // pts/*
];

fn device_rules(host: &HostConfig, facts: &Facts) -> Result<Vec<LinuxDeviceCgroup>, OciSpecError> {
    let every = |allow| {
        LinuxDeviceCgroupBuilder::default()
            .allow(allow)
            .typ(LinuxDeviceType::A)
            .access("rwm")
            .build()
    };
    if host.privileged {
        return Ok(vec![every(true)?]);
    }
    let one = |kind, major: Number, minor: Number, access: &str| {
        let mut rule = LinuxDeviceCgroupBuilder::default()
            .allow(true)
            .typ(kind)
            .access(access);
        if let Some(major) = major {
            rule = rule.major(major);
        }
        if let Some(minor) = minor {
            rule = rule.minor(minor);
        }
        rule.build()
    };
    let mut rules = vec![every(false)?];
    for (kind, major, minor, access) in ALLOWED {
        rules.push(one(kind, major, minor, access)?);
    }
    for (device, access) in &facts.devices {
        rules.push(one(
            device.typ(),
            Some(device.major()),
            Some(device.minor()),
            access,
        )?);
    }
    Ok(rules)
}

#[cfg(test)]
mod tests;
