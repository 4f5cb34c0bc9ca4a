//! A launch, worked out: everything that the child will need, as values that it can use without
//! allocating. Built before the clone; whatever Keel cannot do is refused here.

mod devices;
mod extras;
mod hooks;
mod mounts;
mod namespaces;
mod options;
mod process;
mod refuse;

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::mount::MsFlags;
use nix::sys::stat::Mode;
use nix::sys::statfs::{self, PROC_SUPER_MAGIC, fstatfs};
use oci_spec::runtime::Spec;

pub(super) use devices::{DeviceBind, DevicePlan, LINKS};
pub(super) use extras::Extras;
pub(super) use hooks::HookPlans;
pub(super) use mounts::{BindPlan, CgroupContent, CgroupFolder, InProc, Kind, MountPlan, Sources};
pub(super) use namespaces::{Join, NEW_TIME, NamespacePlan, namespace_name};
pub use options::MOUNT_OPTIONS;
pub(super) use process::{CapabilityPlan, ProcessPlan};
pub(super) use refuse::refuse_process;

use super::cgroup::{CgroupPath, Hierarchies};
use super::listener::ListenerPlan;
use super::requirement;
use super::seccomp::{self, Filter};
use super::user_namespace::UserMaps;
use super::{Console, Error, Init, Keyring, Launch, Options, RootChange, Step};
use crate::sys::user_namespace::{self, Users};

/// What to make where a mount's place is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Create {
    Folder,
    File,
}

/// Everything that the child of a launch needs.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) namespaces: NamespacePlan,
    pub(super) root: RootPlan,
    pub(super) mounts: Vec<MountPlan>,
    pub(super) devices: Vec<DevicePlan>,
    /// Paths to hide, relative to the root.
    pub(super) masked: Vec<CString>,
    /// Paths to make read-only, relative to the root.
    pub(super) readonly: Vec<CString>,
    pub(super) hostname: Option<String>,
    pub(super) domainname: Option<String>,
    pub(super) sysctls: Vec<Sysctl>,
    pub(super) process: ProcessPlan,
    pub(super) init: Init,
    pub(super) console: Console,
    /// The host's procfs: files of /proc are only ever written through this descriptor, never
    /// through a path that the container could have prepared (CVE-2019-16884, CVE-2025-52881).
    pub(super) proc: OwnedFd,
    pub(super) hooks: HookPlans,
    pub(super) begin: Begin,
    pub(super) keyring: Keyring,
    /// The maps of a new user namespace.
    pub(super) users: Option<UserMaps>,
    /// The offsets of a new time namespace.
    pub(super) clocks: Option<CString>,
    /// Where the filter's notifications go to.
    pub(super) listener: Option<ListenerPlan>,
}

/// When the program begins.
#[derive(Debug)]
pub(super) enum Begin {
    /// When its environment is complete.
    AtOnce,
    /// When the parent has recorded its process, too.
    Recorded,
    /// When somebody connects to this socket, too.
    Called(OwnedFd),
}

/// The root file system.
#[derive(Debug)]
pub(super) struct RootPlan {
    pub(super) path: CString,
    /// To be attached there, detached as it is.
    pub(super) mount: Option<OwnedFd>,
    pub(super) readonly: bool,
    /// How the host's mount tree is cut off first.
    pub(super) cut: MsFlags,
    /// The root's own propagation afterwards, if the spec names one.
    pub(super) propagation: Option<MsFlags>,
    /// Mounts to take away before moving the root: only where the host's root cannot be pivoted
    /// (an initramfs), as they would stay reachable.
    pub(super) leftovers: Vec<CString>,
    pub(super) change: RootChange,
}

/// A kernel parameter.
#[derive(Debug)]
pub(super) struct Sysctl {
    pub(super) name: String,
    /// Relative to /proc: `sys/net/ipv4/ip_forward`.
    pub(super) path: CString,
    pub(super) value: String,
}

impl Plan {
    pub(super) fn build(
        launch: &Launch<'_>,
        options: &Options<'_>,
        begin: Begin,
        cgroups: &Hierarchies,
    ) -> Result<Self, Error> {
        let spec = launch.spec;
        refuse::refuse_spec(spec)?;
        if options.state.is_none() {
            refuse::refuse_hooks(spec)?;
        }
        let process = spec
            .process()
            .as_ref()
            .ok_or_else(|| invalid("process", "is missing"))?;
        let linux = spec.linux().as_ref();
        let namespaces = NamespacePlan::build(spec)?;
        let text = |list: Option<&Vec<String>>| {
            list.into_iter()
                .flatten()
                .map(|path| inner_path(Path::new(path)))
                .collect::<Result<Vec<_>, _>>()
        };
        let mut process = ProcessPlan::build(process, filter(launch)?, launch.console)?;
        process.preserved = options.preserved_fds;
        process.extras.personality = extras::personality(spec)?;
        let users = users(spec, &namespaces, &mut process)?;
        let clocks = clocks(spec, &namespaces)?;
        let profile = linux.and_then(|linux| linux.seccomp().as_ref());
        let listener = ListenerPlan::of(profile).filter(|_| options.state.is_some());
        refuse_unheard(process.seccomp.as_ref(), listener.as_ref())?;
        let root = root(launch, options.root_change)?;
        let proc = host_proc()?;
        let sources = Sources {
            prepared: users.is_some() || user_namespace::users() == Users::Mapped,
            cut: root.cut,
            maps: options.mount_maps,
            proc: proc.as_fd(),
        };
        let mounts = mounts::plan(spec, launch.cgroup, cgroups, &namespaces, &sources)?;
        Ok(Self {
            root,
            devices: devices::plan(spec, &sources)?,
            masked: text(linux.and_then(|linux| linux.masked_paths().as_ref()))?,
            readonly: text(linux.and_then(|linux| linux.readonly_paths().as_ref()))?,
            hostname: owned_name(spec.hostname().as_deref(), &namespaces, "hostname")?,
            domainname: owned_name(spec.domainname().as_deref(), &namespaces, "domainname")?,
            sysctls: sysctls(spec, &namespaces)?,
            process,
            init: launch.init,
            console: launch.console,
            hooks: HookPlans::build(spec, options.state)?,
            begin,
            keyring: options.keyring,
            users,
            clocks,
            listener,
            namespaces,
            mounts,
            proc,
        })
    }
}

/// A filter whose notifications nobody receives would answer each with an error.
pub(super) fn refuse_unheard(
    filter: Option<&Filter>,
    listener: Option<&ListenerPlan>,
) -> Result<(), Error> {
    if filter.is_some_and(Filter::notifies) && listener.is_none() {
        return Err(invalid(
            "linux.seccomp",
            "has the action SCMP_ACT_NOTIFY, which needs a listenerPath and `keel runtime`",
        ));
    }
    Ok(())
}

fn filter(launch: &Launch<'_>) -> Result<Option<Filter>, Error> {
    if launch.filter.is_some() {
        return Ok(launch.filter.clone());
    }
    let linux = launch.spec.linux().as_ref();
    let profile = linux.and_then(|linux| linux.seccomp().as_ref());
    Ok(profile.map(seccomp::compile).transpose()?.flatten())
}

/// Opens the host's procfs and makes sure that it is one.
pub(super) fn host_proc() -> Result<OwnedFd, Error> {
    let proc = open(
        "/proc",
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    );
    match proc.and_then(|proc| fstatfs(&proc).map(|statfs| (proc, statfs.filesystem_type()))) {
        Ok((proc, PROC_SUPER_MAGIC)) => Ok(proc),
        _ => Err(requirement::PROC.into()),
    }
}

fn root(launch: &Launch<'_>, change: RootChange) -> Result<RootPlan, Error> {
    if !launch.rootfs.is_absolute() {
        return Err(invalid(
            "root.path",
            "must be absolute here; resolve it against the bundle first",
        ));
    }
    let readonly = launch
        .spec
        .root()
        .as_ref()
        .and_then(oci_spec::runtime::Root::readonly);
    let asked = launch
        .spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.rootfs_propagation().as_deref());
    let propagation = match asked {
        None | Some("") => None,
        Some(name) => Some(options::propagation(name).ok_or_else(|| {
            invalid("linux.rootfsPropagation", "must be one of private, slave, shared, unbindable, or one of them with an r in front")
        })?),
    };
    // A shared or slave root must still receive from the host; everything else is cut off.
    let receives = MsFlags::MS_SHARED | MsFlags::MS_SLAVE;
    let cut = match propagation {
        Some(flags) if flags.intersects(receives) => MsFlags::MS_SLAVE | MsFlags::MS_REC,
        _ => MsFlags::MS_PRIVATE | MsFlags::MS_REC,
    };
    let mount = launch.mount.map(|mount| mount.try_clone_to_owned());
    let mount = mount.transpose().map_err(|error| {
        setup(
            "keep the mount of the root file system open".to_owned(),
            "raise the limit of open files",
            error,
        )
    })?;
    Ok(RootPlan {
        path: c_string(launch.rootfs.as_os_str().as_bytes(), "root.path")?,
        mount,
        readonly: readonly.unwrap_or(false),
        cut,
        propagation,
        leftovers: leftovers(launch.rootfs, change),
        change,
    })
}

/// Where the root is moved instead of pivoted, as on an initramfs: the mounts outside the rootfs,
/// innermost first; elsewhere none.
fn leftovers(rootfs: &Path, change: RootChange) -> Vec<CString> {
    const RAMFS_MAGIC: statfs::FsType = statfs::FsType(0x8584_58f6);
    let initramfs = statfs::statfs("/")
        .is_ok_and(|root| [RAMFS_MAGIC, statfs::TMPFS_MAGIC].contains(&root.filesystem_type()));
    if !initramfs && change == RootChange::Pivot {
        return Vec::new();
    }
    let table = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let mut points: Vec<_> = super::mountinfo::parse(&table)
        .map(|mount| mount.point)
        .filter(|point| !rootfs.starts_with(point) && !point.starts_with(rootfs))
        .filter_map(|point| CString::new(point.as_os_str().as_bytes()).ok())
        .collect();
    points.reverse();
    points
}

/// The maps of a new user namespace, whose parent sets what only the host's root may.
fn users(
    spec: &Spec,
    namespaces: &NamespacePlan,
    process: &mut ProcessPlan,
) -> Result<Option<UserMaps>, Error> {
    let linux = spec.linux().as_ref();
    let mapped = linux.is_some_and(|linux| {
        [linux.uid_mappings(), linux.gid_mappings()]
            .into_iter()
            .flatten()
            .any(|list| !list.is_empty())
    });
    if !namespaces.has_users() {
        if mapped {
            return Err(invalid(
                "linux.uidMappings",
                "needs a user namespace in linux.namespaces",
            ));
        }
        return Ok(None);
    }
    let mut maps = UserMaps::build(spec)?;
    maps.oom_score = process.oom_score.take();
    Ok(Some(maps))
}

/// The offsets of a new time namespace.
fn clocks(spec: &Spec, namespaces: &NamespacePlan) -> Result<Option<CString>, Error> {
    let clocks = extras::time_offsets(spec)?;
    if clocks.is_some() && !namespaces.time {
        return Err(invalid(
            "linux.timeOffsets",
            "needs a new time namespace in linux.namespaces: the host's clocks have none",
        ));
    }
    Ok(clocks)
}

fn owned_name(
    name: Option<&str>,
    namespaces: &NamespacePlan,
    field: &str,
) -> Result<Option<String>, Error> {
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    if !namespaces.is_own(nix::sched::CloneFlags::CLONE_NEWUTS) {
        return Err(invalid(
            field,
            "needs a uts namespace in linux.namespaces: it would rename the host",
        ));
    }
    if name.len() > 64 {
        return Err(invalid(field, "must have at most 64 bytes"));
    }
    Ok(Some(name.to_owned()))
}

/// Only parameters that a namespace of the container's own holds; others would change the host.
fn sysctls(spec: &Spec, namespaces: &NamespacePlan) -> Result<Vec<Sysctl>, Error> {
    use nix::sched::CloneFlags;
    const IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let asked = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.sysctl().as_ref());
    let mut plans = Vec::new();
    for (name, value) in asked.into_iter().flatten() {
        let field = format!("linux.sysctl {name:?}");
        let dotted = name.replace('/', ".");
        let kind = if dotted.starts_with("net.") {
            CloneFlags::CLONE_NEWNET
        } else if IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
            CloneFlags::CLONE_NEWIPC
        } else {
            return Err(invalid(
                &field,
                "belongs to no namespace, so it would change the host; set it there",
            ));
        };
        if !namespaces.is_own(kind) {
            return Err(invalid(
                &field,
                "needs a namespace of the container's own (network or ipc) in linux.namespaces",
            ));
        }
        if dotted.split('.').any(str::is_empty) {
            return Err(invalid(&field, "is no kernel parameter's name"));
        }
        let path = format!(
            "sys/{}",
            if name.contains('/') {
                name.clone()
            } else {
                name.replace('.', "/")
            }
        );
        if path.split('/').any(|part| part == ".." || part == ".") {
            return Err(invalid(&field, "is no kernel parameter's name"));
        }
        plans.push(Sysctl {
            name: name.clone(),
            path: c_string(path.as_bytes(), &field)?,
            value: value.clone(),
        });
    }
    plans.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(plans)
}

/// An absolute path in the container as one relative to its root.
pub(super) fn inner_path(path: &Path) -> Result<CString, Error> {
    let bytes = path.as_os_str().as_bytes();
    let field = format!("path {}", path.display());
    let Some(inner) = bytes.strip_prefix(b"/") else {
        return Err(invalid(&field, "must be absolute"));
    };
    // openat2 and openat refuse an empty path; "." is the root itself.
    c_string(if inner.is_empty() { b"." } else { inner }, &field)
}

pub(super) fn c_string(bytes: &[u8], field: &str) -> Result<CString, Error> {
    CString::new(bytes).map_err(|_| invalid(field, "must not hold a zero byte"))
}

pub(super) fn invalid(field: &str, why: &str) -> Error {
    Error::Invalid {
        field: field.to_owned(),
        why: why.to_owned(),
    }
}

/// A child that ended before its set-up did, and without a word.
pub(super) fn killed() -> Error {
    setup(
        "set up the new process, which was killed meanwhile".to_owned(),
        "see whether its memory limit is too small, or who kills it",
        nix::errno::Errno::ECANCELED,
    )
}

/// A failure of the preparation itself, which never reaches the child.
pub(super) fn setup(
    step: String,
    remedy: &'static str,
    source: impl Into<std::io::Error>,
) -> Error {
    Error::Setup {
        step: Step(step),
        remedy,
        source: source.into(),
    }
}
