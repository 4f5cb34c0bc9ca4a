//! Device nodes: the six that every container has, and the spec's own.

use std::ffi::{CStr, CString};
use std::path::Path;

use nix::sys::stat::{SFlag, makedev};
use oci_spec::runtime::{LinuxDeviceType, Spec};

use super::{BindPlan, Sources, c_string, inner_path, invalid};
use crate::runtime::Error;
use crate::sys::mount::{Attributes, Depth};

/// A device node to make.
#[derive(Debug)]
pub(in crate::runtime) struct DevicePlan {
    /// Folder, relative to the root.
    pub(in crate::runtime) folder: CString,
    pub(in crate::runtime) name: CString,
    pub(in crate::runtime) kind: SFlag,
    pub(in crate::runtime) number: u64,
    pub(in crate::runtime) mode: u32,
    /// Owner and group, when not root.
    pub(in crate::runtime) owner: Option<(u32, u32)>,
    /// The host's own, to be bound where nodes cannot be made: in a user namespace.
    pub(in crate::runtime) bind: Option<DeviceBind>,
}

/// A device of the host, to be bound.
#[derive(Debug)]
pub(in crate::runtime) struct DeviceBind {
    /// Its place, relative to the root.
    pub(in crate::runtime) place: CString,
    pub(in crate::runtime) plan: BindPlan,
}

/// Names and targets of the links in /dev (runtime specification, Linux, default symlinks).
pub(in crate::runtime) const LINKS: [(&CStr, &CStr); 5] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
    (c"ptmx", c"pts/ptmx"),
];

const DEFAULTS: [(&str, u64, u64); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// The nodes to make; none when the host's /dev is bound into the container.
pub(super) fn plan(spec: &Spec, sources: &Sources<'_>) -> Result<Vec<DevicePlan>, Error> {
    let own = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.devices().as_ref());
    let own: Vec<_> = own.into_iter().flatten().collect();
    let bound = spec.mounts().iter().flatten().any(|mount| {
        let is_bind = mount.typ().as_deref() == Some("bind")
            || mount
                .options()
                .iter()
                .flatten()
                .any(|option| option == "bind" || option == "rbind");
        is_bind && mount.destination() == Path::new("/dev")
    });
    if bound {
        return Ok(Vec::new());
    }
    let mut plans = Vec::new();
    for (path, major, minor) in DEFAULTS {
        if own.iter().all(|device| device.path() != Path::new(path)) {
            plans.push(node(
                Path::new(path),
                SFlag::S_IFCHR,
                makedev(major, minor),
                0o666,
                None,
            )?);
        }
    }
    for device in own {
        let path = device.path();
        let kind = match device.typ() {
            LinuxDeviceType::C | LinuxDeviceType::U => SFlag::S_IFCHR,
            LinuxDeviceType::B => SFlag::S_IFBLK,
            LinuxDeviceType::P => SFlag::S_IFIFO,
            LinuxDeviceType::A => {
                return Err(invalid(
                    &format!("linux.devices {}", path.display()),
                    "must have the type c, b, u or p",
                ));
            }
        };
        let number = |value: i64| {
            u64::try_from(value).map_err(|_| {
                invalid(
                    &format!("linux.devices {}", path.display()),
                    "must have a major and a minor number",
                )
            })
        };
        let number = match device.typ() {
            LinuxDeviceType::P => 0,
            LinuxDeviceType::A | LinuxDeviceType::B | LinuxDeviceType::C | LinuxDeviceType::U => {
                makedev(number(device.major())?, number(device.minor())?)
            }
        };
        let owner = match (device.uid().unwrap_or(0), device.gid().unwrap_or(0)) {
            (0, 0) => None,
            owner => Some(owner),
        };
        plans.push(node(
            path,
            kind,
            number,
            device.file_mode().unwrap_or(0o666),
            owner,
        )?);
    }
    if sources.prepared {
        // FIFOs are no devices to the kernel: anybody may make them.
        for plan in plans.iter_mut().filter(|plan| plan.kind != SFlag::S_IFIFO) {
            plan.bind = Some(host_device(plan, sources)?);
        }
    }
    Ok(plans)
}

/// The host's device of the same path, which must be the same device.
fn host_device(plan: &DevicePlan, sources: &Sources<'_>) -> Result<DeviceBind, Error> {
    let place = format!(
        "{}/{}",
        plan.folder.to_string_lossy(),
        plan.name.to_string_lossy()
    );
    let path = format!("/{place}");
    let field = format!("linux.devices {path}");
    let found = nix::sys::stat::lstat(path.as_str());
    let same = found.is_ok_and(|found| {
        let kind = SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits());
        kind == plan.kind && found.st_rdev == plan.number
    });
    if !same {
        return Err(invalid(
            &field,
            "must be a device of the host at the same path: in a user namespace none can be made",
        ));
    }
    let bind = BindPlan {
        source: c_string(path.as_bytes(), &field)?,
        depth: Depth::Single,
        attributes: Attributes::default(),
        recursive: Attributes::default(),
        tree: None,
    };
    Ok(DeviceBind {
        place: c_string(place.as_bytes(), &field)?,
        plan: sources.prepare(bind, None, &field)?,
    })
}

fn node(
    path: &Path,
    kind: SFlag,
    number: u64,
    mode: u32,
    owner: Option<(u32, u32)>,
) -> Result<DevicePlan, Error> {
    use std::os::unix::ffi::OsStrExt;
    let field = format!("linux.devices {}", path.display());
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(invalid(&field, "must be a path below the root"));
    };
    Ok(DevicePlan {
        folder: inner_path(folder)?,
        name: c_string(name.as_bytes(), &field)?,
        kind,
        number,
        mode: mode & 0o7777,
        owner,
        bind: None,
    })
}
