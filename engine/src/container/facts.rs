//! What a container's spec depends on besides its configuration, found out on this host.

use std::os::fd::BorrowedFd;
use std::path::Path;

use nix::sys::stat::{self, SFlag};
use oci_spec::runtime::{Capabilities, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType};

use super::config::{Config, HostConfig};
use super::files::{self, Place};
use super::options::{CapabilityChange, Device, Seccomp, capabilities_in, effective_capabilities};
use super::spec::{Facts, Presence};
use super::user::Identity;
use super::{Container, Error, profile};
use crate::runtime;
use crate::runtime::cgroup::{self, Mode};
use crate::runtime::seccomp::{self, Filter};
use crate::sys::user_namespace::{Users, is_root_alone, may_set_groups, users};
use crate::volume::Volumes;

/// Finds out what [`super::spec::spec`] needs to know; `root` is the container's open root folder.
pub(super) fn gather(container: &Container, root: BorrowedFd<'_>) -> Result<Facts, Error> {
    let config = container.config();
    let mode = cgroup::detect();
    let capabilities = capabilities(&config.host)?;
    Ok(Facts {
        identity: identity(root, &config.process.user)?
            .with_groups(root, &config.host.group_add)?,
        capabilities,
        devices: devices(config)?,
        cgroups: cgroups(config),
        device_rules: Presence::from(users() == Users::Hosts),
        tty_group: Presence::from(!is_root_alone()),
        cgroup_namespaces: Presence::from(Path::new("/proc/self/ns/cgroup").exists()),
        swap_limit: swap_limit(&config.host, mode),
        files: match files::provide(container, root)? {
            Place::Folder => Some(container.folder().to_owned()),
            Place::Tree => None,
        },
        volumes: Volumes::new(container.root()),
    })
}

/// Whether the container has a control group: this system has some mounted, and its user may make
/// one.
pub(super) fn cgroups(config: &Config) -> Presence {
    Presence::from(!config.host.cgroup.is_empty() && cgroup::detect() != Mode::Absent)
}

/// Who `user` is. Where no further groups can be set, the image's files name some in vain.
pub(super) fn identity(root: BorrowedFd<'_>, user: &str) -> Result<Identity, Error> {
    let mut identity = Identity::look_up(root, user)?;
    if !may_set_groups() {
        identity.groups.clear();
    }
    Ok(identity)
}

/// The capabilities that processes of the container may have. All means all that this process can
/// give: the kernel may not know the newest, and whoever started us may have kept some.
pub(super) fn capabilities(host: &HostConfig) -> Result<Capabilities, Error> {
    let wants_all = host.privileged || host.cap_add.contains(&CapabilityChange::All);
    let all = if wants_all {
        own_capabilities()?
    } else {
        Capabilities::new()
    };
    Ok(if host.privileged {
        all
    } else {
        effective_capabilities(&host.cap_add, &host.cap_drop, &all)
    })
}

fn own_capabilities() -> Result<Capabilities, Error> {
    const STATUS: &str = "/proc/self/status";
    let status = std::fs::read_to_string(STATUS).map_err(Error::io("read", STATUS))?;
    let mask = |field: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(field))?;
        u64::from_str_radix(value.trim(), 16).ok()
    };
    let masks = [mask("CapBnd:"), mask("CapPrm:")];
    Ok(capabilities_in(
        masks
            .into_iter()
            .flatten()
            .fold(u64::MAX, |all, mask| all & mask),
    ))
}

/// The filter of a container; a privileged one has none unless it was asked for.
pub(super) fn filter(
    config: &Config,
    capabilities: &Capabilities,
) -> Result<Option<Filter>, Error> {
    let host = &config.host;
    let filter = match &host.seccomp {
        Seccomp::Default if host.privileged => Ok(None),
        Seccomp::Default => seccomp::default_filter(capabilities),
        Seccomp::Unconfined => Ok(None),
        Seccomp::Profile(path) => seccomp::compile(&profile::read(path, capabilities)?),
    };
    Ok(filter.map_err(runtime::Error::from)?)
}

/// Whether swap can be limited, which old kernels need a boot parameter for (`swapaccount=1`,
/// before 5.8). Asked only when there is a limit.
pub(super) fn swap_limit(host: &HostConfig, mode: Mode) -> Presence {
    if host.memory.is_none() {
        return Presence::Absent;
    }
    Presence::from(match mode {
        Mode::Absent => false,
        Mode::V1 | Mode::Hybrid => {
            Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists()
        }
        // The root group has no `memory.swap.max`; whatever has swap space can limit it there,
        // and without swap space there is nothing to limit.
        Mode::V2 => {
            std::fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().count() > 1)
        }
    })
}

/// The devices that were asked for; a privileged container gets all of the host's.
fn devices(config: &Config) -> Result<Vec<(LinuxDevice, String)>, Error> {
    let mut devices = Vec::new();
    if config.host.privileged {
        host_devices(Path::new("/dev"), &mut devices)?;
    }
    for wanted in &config.host.devices {
        devices.push((device(wanted)?, wanted.cgroup_permissions.clone()));
    }
    Ok(devices)
}

fn device(wanted: &Device) -> Result<LinuxDevice, Error> {
    let path = &wanted.path_on_host;
    let status = stat::stat(path).map_err(Error::io("examine the device", path))?;
    node(&status, &wanted.path_in_container)?.ok_or_else(|| {
        let no_device = std::io::Error::from(std::io::ErrorKind::InvalidInput);
        Error::io("use as a device, which it is not,", path)(no_device)
    })
}

/// The node that shows the same device at another path; `None` for what is no device.
fn node(status: &nix::sys::stat::FileStat, path: &Path) -> Result<Option<LinuxDevice>, Error> {
    let mode = SFlag::from_bits_truncate(status.st_mode & SFlag::S_IFMT.bits());
    let kind = match mode {
        SFlag::S_IFCHR => LinuxDeviceType::C,
        SFlag::S_IFBLK => LinuxDeviceType::B,
        _ => return Ok(None),
    };
    let number = |part: u64| i64::try_from(part).unwrap_or_default();
    LinuxDeviceBuilder::default()
        .path(path)
        .typ(kind)
        .major(number(stat::major(status.st_rdev)))
        .minor(number(stat::minor(status.st_rdev)))
        .file_mode(status.st_mode & 0o7777)
        .uid(status.st_uid)
        .gid(status.st_gid)
        .build()
        .map(Some)
        .map_err(Error::Spec)
}

/// What containers have of their own, and what would show the host's terminals.
const OWN: [&str; 12] = [
    "null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "mqueue",
    "fd",
];

fn host_devices(folder: &Path, devices: &mut Vec<(LinuxDevice, String)>) -> Result<(), Error> {
    let list = std::fs::read_dir(folder).map_err(Error::io("list", folder))?;
    for entry in list {
        let entry = entry.map_err(Error::io("list", folder))?;
        let path = entry.path();
        if OWN.iter().any(|own| entry.file_name() == *own) {
            continue;
        }
        // Links are not followed, and what is gone meanwhile is left out.
        let Ok(status) = stat::lstat(&path) else {
            continue;
        };
        if let Some(device) = node(&status, &path)? {
            devices.push((device, "rwm".to_owned()));
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            host_devices(&path, devices)?;
        }
    }
    Ok(())
}
