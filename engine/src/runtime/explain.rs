//! From a child's fault to an error that says what, on what, and what to do.

use nix::errno::Errno;
use nix::sched::CloneFlags;

use super::child::{At, Fault};
use super::hooks::{HookEnd, HookPlan, HookPoint};
use super::plan::{BindPlan, Kind, LINKS, MountPlan, Plan, ProcessPlan};
use super::requirement::{self, Missing};
use super::{Error, Step};
use crate::sys::user_namespace::{Users, users};

/// The clone itself failed.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "error numbers: only some have a meaning here"
)]
pub(super) fn clone_failed(errno: Errno) -> Error {
    let remedy = match errno {
        Errno::EPERM => "run Keel as root",
        Errno::EAGAIN => "raise the limit on processes (RLIMIT_NPROC, pids.max)",
        Errno::ENOSPC => "raise /proc/sys/user/max_pid_namespaces and max_mnt_namespaces",
        _ => "see the kernel's log",
    };
    setup("make a process in new namespaces".to_owned(), remedy, errno)
}

fn setup(step: String, remedy: &'static str, errno: Errno) -> Error {
    Error::Setup {
        step: Step(step),
        remedy,
        source: errno.into(),
    }
}

/// What a launch's child said before it ended too early.
pub(super) fn launch_failed(fault: Fault, hook: Option<HookEnd>, plan: &Plan) -> Error {
    let hooks = if fault.at == At::CreateContainerHook {
        &plan.hooks.create_container
    } else {
        &plan.hooks.start_container
    };
    hook_failed(fault, hook, hooks).unwrap_or_else(|| launch_fault(fault, plan))
}

/// The fault of a hook.
pub(super) fn hook_failed(fault: Fault, end: Option<HookEnd>, hooks: &[HookPlan]) -> Option<Error> {
    let points = [
        (At::CreateContainerHook, HookPoint::CreateContainer),
        (At::StartContainerHook, HookPoint::StartContainer),
    ];
    let (_, point) = points.into_iter().find(|(at, _)| *at == fault.at)?;
    Some(Error::Hook {
        point: point.name(),
        path: hooks
            .get(usize::from(fault.index))
            .map_or_else(String::new, HookPlan::shown),
        end: end.unwrap_or(HookEnd::NotStarted(fault.errno)),
    })
}

/// A fault of a launch's child.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the rest is the other function's, which names every step"
)]
#[expect(clippy::too_many_lines, reason = "a table of texts")]
fn launch_fault(fault: Fault, plan: &Plan) -> Error {
    let index = usize::from(fault.index);
    if let Some(missing) = missing(fault, plan) {
        return missing.into();
    }
    let errno = fault.errno;
    let mount = plan.mounts.get(index);
    let shown = mount.map_or("?", |mount| mount.shown.as_str());
    let path = |list: &[std::ffi::CString]| {
        list.get(index)
            .map_or_else(String::new, |path| format!("/{}", path.to_string_lossy()))
    };
    let (step, remedy) = match fault.at {
        At::Namespaces => (
            "make new namespaces".to_owned(),
            "raise the limits in /proc/sys/user/max_*_namespaces",
        ),
        At::CgroupNamespace => (
            "make a cgroup namespace".to_owned(),
            "leave `cgroup` out of linux.namespaces",
        ),
        At::Join => {
            let join = plan.namespaces.joined.get(index);
            (
                format!("join the namespace {}", join.map_or("?", |join| &join.path)),
                "see that its kind is the one that the spec gives",
            )
        }
        At::Loopback => (
            "bring the loopback interface up".to_owned(),
            "build the kernel with CONFIG_NET and CONFIG_INET",
        ),
        At::Propagation => (
            "cut the mounts off from the host's".to_owned(),
            "run Keel with CAP_SYS_ADMIN",
        ),
        At::Rootfs => (
            format!(
                "bind and open the rootfs {}",
                plan.root.path.to_string_lossy()
            ),
            "give an existing folder that is no symbolic link",
        ),
        At::MountPlace => (
            format!("find or make the mount point {shown:?}"),
            if errno == Errno::ELOOP {
                "/proc and /sys must be plain folders of the image, not links"
            } else {
                "see that nothing else in the image is in its place"
            },
        ),
        At::MountInProc => (
            format!("mount on {shown:?}, which lies in /proc"),
            "mount somewhere else: files of /proc must stay the kernel's",
        ),
        At::Mount => (
            mount.map_or_else(String::new, describe_mount),
            if errno == Errno::EPERM && users() == Users::Mapped {
                "a user may mount /proc and /sys only where nothing covers parts of the host's own: \
                 run keel outside of the container that it is in"
            } else {
                "see that the source exists and the options are right"
            },
        ),
        At::MountFlags => (
            format!("change the propagation of {shown:?}"),
            "leave the propagation option out",
        ),
        At::Device => {
            let device = plan.devices.get(index);
            let name = device.map(|device| {
                format!(
                    "/{}/{}",
                    device.folder.to_string_lossy(),
                    device.name.to_string_lossy()
                )
            });
            (
                format!("make the device {}", name.unwrap_or_default()),
                if errno == Errno::EEXIST {
                    "the image has something else in its place: remove it there"
                } else {
                    "mount a tmpfs on /dev, and let the device rules allow mknod"
                },
            )
        }
        At::Link => (
            format!(
                "make the link /dev/{}",
                LINKS
                    .get(index)
                    .map_or("?".into(), |(name, _)| name.to_string_lossy())
            ),
            "mount a tmpfs on /dev",
        ),
        At::Mask => (
            format!("hide {}", path(&plan.masked)),
            "take it out of linux.maskedPaths",
        ),
        At::Readonly => (
            format!("make {} read-only", path(&plan.readonly)),
            "take it out of linux.readonlyPaths",
        ),
        At::NullDevice => (
            "use the container's /dev/null to hide paths".to_owned(),
            "it must be the null device (char 1:3), no link and no file: mount a tmpfs on /dev",
        ),
        At::Pivot => (
            "make the rootfs the root".to_owned(),
            "see that the rootfs is not the host's own root",
        ),
        At::RootReadonly => (
            "make the root read-only".to_owned(),
            "leave root.readonly out",
        ),
        At::Clocks => (
            "set the clocks of a time namespace".to_owned(),
            "an offset must not make a clock negative; time namespaces need Linux 5.6",
        ),
        At::Hostname => ("set the host name".to_owned(), "leave `hostname` out"),
        At::Domainname => ("set the domain name".to_owned(), "leave `domainname` out"),
        At::Sysctl => {
            let sysctl = plan.sysctls.get(index);
            (
                sysctl.map_or_else(String::new, |sysctl| {
                    format!("set {} to {:?}", sysctl.name, sysctl.value)
                }),
                "see that this kernel has the parameter and takes the value",
            )
        }
        _ => return process_fault(fault, &plan.process),
    };
    setup(step, remedy, errno)
}

/// For an id that the user namespace does not have.
const UNMAPPED: &str = "its user namespace has no such id: map it, for a user's keel by ranges in \
                        /etc/subuid and /etc/subgid and the programs newuidmap and newgidmap";

/// A fault in what launching and joining have in common.
#[expect(clippy::too_many_lines, reason = "a table of texts")]
pub(super) fn process_fault(fault: Fault, process: &ProcessPlan) -> Error {
    let cwd = process.cwd.to_string_lossy();
    let (step, remedy) = match fault.at {
        At::Execute => {
            return Error::Program {
                program: process.program.clone(),
                source: fault.errno.into(),
            };
        }
        At::Parent => ("hear from the engine".to_owned(), "see what ended it"),
        At::MakeWorkingFolder => (
            format!("make the working folder {cwd}"),
            "see that nothing else in the image is in its place",
        ),
        At::WorkingFolder => (
            format!("enter the working folder {cwd}"),
            "see that it is a folder that the user may enter",
        ),
        At::WorkingFolderOutside => (
            format!("work in {cwd}"),
            "it lies outside the container (CVE-2024-21626): choose a folder of the image",
        ),
        At::Console => (
            "make a terminal".to_owned(),
            "mount a devpts on /dev/pts (options newinstance, ptmxmode=0666)",
        ),
        At::Call => (
            "wait for the start".to_owned(),
            "create the container again",
        ),
        At::NamespaceRoot => (
            "become the root of the container's user namespace".to_owned(),
            "map id 0 of users and groups",
        ),
        At::Label => {
            let label = process.extras.labels.get(usize::from(fault.index));
            let label = label.map(|(_, label)| label.to_string_lossy().into_owned());
            (
                format!("set the security label {:?}", label.unwrap_or_default()),
                "see that the profile or label is loaded",
            )
        }
        At::Scheduling => (
            "set the scheduling, or the priority of input and output".to_owned(),
            "Linux 3.14 brought it; real-time and deadlines need CAP_SYS_NICE, and a group that has time for them",
        ),
        At::Personality => (
            "set the personality".to_owned(),
            "leave linux.personality out",
        ),
        At::Session => ("start a session".to_owned(), "see the kernel's log"),
        At::OomScore => (
            "set oom_score_adj".to_owned(),
            "lowering it needs CAP_SYS_RESOURCE: raise it, or leave it out",
        ),
        At::Limit => {
            let limit = process.limits.get(usize::from(fault.index));
            let text =
                limit.map(|limit| format!("set {} to {}:{}", limit.name, limit.soft, limit.hard));
            (
                text.unwrap_or_default(),
                "raising a hard limit needs CAP_SYS_RESOURCE: ask for no more than Keel's own limit",
            )
        }
        At::NoNewPrivileges => ("set no_new_privs".to_owned(), "use Linux 3.5 or newer"),
        At::Bounding => (
            "drop capabilities from the bounding set".to_owned(),
            "run Keel with CAP_SETPCAP",
        ),
        At::Groups => (
            "set the supplementary groups".to_owned(),
            "run Keel with CAP_SETGID",
        ),
        At::Group => (
            format!("become group {}", process.gid),
            if fault.errno == Errno::EINVAL {
                UNMAPPED
            } else {
                "run Keel with CAP_SETGID"
            },
        ),
        At::User => (
            format!("become user {}", process.uid),
            if fault.errno == Errno::EINVAL {
                UNMAPPED
            } else {
                "run Keel with CAP_SETUID"
            },
        ),
        At::Capabilities => (
            "set the capabilities".to_owned(),
            "ask for no more than Keel itself has",
        ),
        At::Ambient => (
            "set the ambient capabilities".to_owned(),
            "use Linux 4.3 or newer, or leave `ambient` out",
        ),
        At::Streams => (
            "connect the standard streams".to_owned(),
            "see that they are open",
        ),
        At::Seal => (
            "close all descriptors".to_owned(),
            "see that /proc is mounted",
        ),
        At::Seccomp => (
            "install the seccomp filter".to_owned(),
            "without no_new_privs this needs CAP_SYS_ADMIN; flags need a newer kernel",
        ),
        At::Fork => (
            "make the program's process".to_owned(),
            "raise pids.max and RLIMIT_NPROC",
        ),
        At::Join => (
            "join the container's namespaces".to_owned(),
            "see that the container is still running",
        ),
        At::Namespaces
        | At::CgroupNamespace
        | At::Loopback
        | At::Propagation
        | At::Rootfs
        | At::MountPlace
        | At::MountInProc
        | At::Mount
        | At::MountFlags
        | At::Device
        | At::Link
        | At::Pivot
        | At::RootReadonly
        | At::Mask
        | At::Readonly
        | At::NullDevice
        | At::Hostname
        | At::Domainname
        | At::Sysctl
        | At::Clocks
        | At::CreateContainerHook
        | At::StartContainerHook => ("set the container up".to_owned(), "see the kernel's log"),
    };
    setup(step, remedy, fault.errno)
}

/// Faults that mean that the kernel lacks something.
fn missing(fault: Fault, plan: &Plan) -> Option<Missing> {
    match (fault.at, fault.errno) {
        (At::Mount, Errno::ENODEV) => match &plan.mounts.get(usize::from(fault.index))?.kind {
            Kind::Filesystem { kind, .. } => requirement::filesystem(kind.to_str().ok()?),
            Kind::Bind(_) | Kind::CgroupUnified { .. } | Kind::CgroupFolders { .. } => None,
        },
        (At::Namespaces, Errno::EINVAL) => requirement::namespaces(plan.namespaces.unshared).err(),
        (At::CgroupNamespace, Errno::EINVAL) => {
            requirement::namespaces(CloneFlags::CLONE_NEWCGROUP).err()
        }
        _ => None,
    }
}

fn describe_mount(mount: &MountPlan) -> String {
    let on = &mount.shown;
    match &mount.kind {
        Kind::Filesystem { kind, data, .. } if data.is_empty() => {
            format!("mount {} on {on:?}", kind.to_string_lossy())
        }
        Kind::Filesystem { kind, data, .. } => {
            format!(
                "mount {} ({}) on {on:?}",
                kind.to_string_lossy(),
                data.to_string_lossy()
            )
        }
        Kind::Bind(BindPlan { source, .. }) => {
            format!("bind {} on {on:?}", source.to_string_lossy())
        }
        Kind::CgroupUnified { .. } | Kind::CgroupFolders { .. } => {
            format!("mount the cgroup hierarchy on {on:?}")
        }
    }
}
