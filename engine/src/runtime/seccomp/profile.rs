//! The default profile, as data: what a container's processes may not call.
//!
//! Everything in the tables of [`numbers`](super::numbers) is allowed but what stands here. A call
//! that is newer than the tables gives `ENOSYS`, so that the C library falls back; one that is
//! forbidden gives `EPERM`. The lists have the effect of Docker's profile (moby, 28).

use oci_spec::runtime::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg,
    LinuxSeccompArgBuilder, LinuxSeccompBuilder, LinuxSeccompOperator, LinuxSyscall,
    LinuxSyscallBuilder,
};

use super::numbers::NATIVE;

/// Forbidden whatever the capabilities: obsolete, not aware of namespaces (keys), or with a
/// history of escapes out of proportion to their use (`io_uring`, `userfaultfd`).
const NEVER: &[&str] = &[
    "_sysctl",
    "add_key",
    "afs_syscall",
    "create_module",
    "get_kernel_syms",
    "getpmsg",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lock",
    "migrate_pages",
    "move_pages",
    "mpx",
    "nfsservctl",
    "pciconfig_iobase",
    "pciconfig_read",
    "pciconfig_write",
    "pivot_root",
    "prof",
    "profil",
    "putpmsg",
    "query_module",
    "request_key",
    "security",
    "swapoff",
    "swapon",
    "sysfs",
    "tuxcall",
    "uselib",
    "userfaultfd",
    "ustat",
    "vm86",
    "vm86old",
    "vserver",
];

/// Allowed to those who have the capability.
const WITH: &[(Capability, &[&str])] = &[
    (Capability::DacReadSearch, &["open_by_handle_at"]),
    (
        Capability::SysAdmin,
        &[
            "bpf",
            "clone",
            "clone3",
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "lookup_dcookie",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "open_tree_attr",
            "perf_event_open",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "syslog",
            "umount",
            "umount2",
            "unshare",
        ],
    ),
    (Capability::SysBoot, &["reboot"]),
    (Capability::SysChroot, &["chroot"]),
    (
        Capability::SysModule,
        &["delete_module", "finit_module", "init_module"],
    ),
    (Capability::SysPacct, &["acct"]),
    (
        Capability::SysPtrace,
        &["kcmp", "pidfd_getfd", "process_madvise"],
    ),
    (Capability::SysRawio, &["ioperm", "iopl"]),
    (
        Capability::SysTime,
        &["clock_settime", "clock_settime64", "settimeofday", "stime"],
    ),
    (Capability::SysTtyConfig, &["vhangup"]),
    (
        Capability::SysNice,
        &[
            "get_mempolicy",
            "mbind",
            "set_mempolicy",
            "set_mempolicy_home_node",
        ],
    ),
    (Capability::Syslog, &["syslog"]),
    (Capability::Bpf, &["bpf"]),
    (Capability::Perfmon, &["perf_event_open"]),
];

/// Before 4.8 a tracer could change a call after the filter had seen it.
const FROM_4_8: &[&str] = &["process_vm_readv", "process_vm_writev", "ptrace"];

/// Looked at by argument.
const BY_ARGUMENT: &[&str] = &["personality", "socket"];

/// Every `CLONE_NEW*` flag but `CLONE_NEWTIME`, which clone(2) cannot be given.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// `PER_LINUX`, `PER_LINUX32`, both with `UNAME26`, and the question for the current one.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Those of a container's usual capabilities that unlock calls.
pub(super) const UNLOCKED: [Capability; 1] = [Capability::SysChroot];

/// Sockets of a virtual machine to its host reach past every namespace.
const AF_VSOCK: u64 = 40;

/// Whether the default profile for these capabilities is that for those of [`UNLOCKED`], on a
/// kernel on which tracing is safe.
pub(super) fn is_usual(capabilities: &Capabilities) -> bool {
    let mut matter = WITH.iter().map(|(capability, _)| capability);
    matter.all(|capability| capabilities.contains(capability) == UNLOCKED.contains(capability))
        && kernel_is_at_least(4, 8)
}

/// Docker's default profile for a process with these capabilities.
pub fn default_profile(capabilities: &Capabilities) -> LinuxSeccomp {
    let unlocked = |name: &str| {
        WITH.iter()
            .any(|(capability, names)| capabilities.contains(capability) && names.contains(&name))
    };
    let locked =
        |name: &str| WITH.iter().any(|(_, names)| names.contains(&name)) && !unlocked(name);
    let late = !kernel_is_at_least(4, 8) && !capabilities.contains(&Capability::SysPtrace);
    let refused =
        |name: &str| NEVER.contains(&name) || locked(name) || (late && FROM_4_8.contains(&name));

    let names = sub_architecture_names();
    let own = |name: &&str| {
        !BY_ARGUMENT.contains(name) && (unlocked("clone") || !matches!(*name, "clone" | "clone3"))
    };
    let (forbidden, allowed): (Vec<&str>, Vec<&str>) = names
        .into_iter()
        .filter(own)
        .partition(|name| refused(name));

    let mut rules = vec![
        rule(&allowed, LinuxSeccompAction::ScmpActAllow, None, None),
        rule(
            &forbidden,
            LinuxSeccompAction::ScmpActErrno,
            Some(nix::libc::EPERM),
            None,
        ),
        // Masked: the kernel looks at the family's low half only. An earlier rule wins.
        rule(
            &["socket"],
            LinuxSeccompAction::ScmpActErrno,
            Some(nix::libc::EPERM),
            Some(argument(
                LinuxSeccompOperator::ScmpCmpMaskedEq,
                u64::from(u32::MAX),
                Some(AF_VSOCK),
            )),
        ),
        rule(&["socket"], LinuxSeccompAction::ScmpActAllow, None, None),
    ];
    for value in PERSONALITIES {
        let argument = argument(LinuxSeccompOperator::ScmpCmpEq, value, None);
        rules.push(rule(
            &["personality"],
            LinuxSeccompAction::ScmpActAllow,
            None,
            Some(argument),
        ));
    }
    rules.push(rule(
        BY_ARGUMENT,
        LinuxSeccompAction::ScmpActErrno,
        Some(nix::libc::EPERM),
        None,
    ));
    if !unlocked("clone") {
        let plain = argument(
            LinuxSeccompOperator::ScmpCmpMaskedEq,
            NEW_NAMESPACES,
            Some(0),
        );
        rules.push(rule(
            &["clone"],
            LinuxSeccompAction::ScmpActAllow,
            None,
            Some(plain),
        ));
        rules.push(rule(
            &["clone"],
            LinuxSeccompAction::ScmpActErrno,
            Some(nix::libc::EPERM),
            None,
        ));
        // Its flags are behind a pointer, where a filter cannot look: ENOSYS makes the C library
        // use clone.
        rules.push(rule(
            &["clone3"],
            LinuxSeccompAction::ScmpActErrno,
            Some(nix::libc::ENOSYS),
            None,
        ));
    }
    let profile = LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(nix::libc::ENOSYS.unsigned_abs())
        .architectures(architectures())
        .syscalls(rules);
    // All of the builder's members have defaults, so it cannot fail.
    profile.build().unwrap_or_default()
}

/// The native architecture, and those whose programs its kernels run too.
fn architectures() -> Vec<Arch> {
    if cfg!(target_arch = "x86_64") {
        vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32]
    } else if cfg!(target_arch = "aarch64") {
        vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm]
    } else {
        vec![Arch::ScmpArchNative]
    }
}

/// The names of all calls of all of them.
fn sub_architecture_names() -> Vec<&'static str> {
    let interfaces = architectures()
        .into_iter()
        .filter_map(super::numbers::Interface::of);
    let mut names: Vec<_> = interfaces
        .chain([NATIVE])
        .flat_map(super::numbers::Interface::names)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn rule(
    names: &[&str],
    action: LinuxSeccompAction,
    errno: Option<i32>,
    argument: Option<LinuxSeccompArg>,
) -> LinuxSyscall {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut rule = LinuxSyscallBuilder::default().names(names).action(action);
    if let Some(errno) = errno {
        rule = rule.errno_ret(errno.unsigned_abs());
    }
    if let Some(argument) = argument {
        rule = rule.args(vec![argument]);
    }
    // Names and action are given, so it cannot fail.
    rule.build().unwrap_or_default()
}

fn argument(operator: LinuxSeccompOperator, value: u64, second: Option<u64>) -> LinuxSeccompArg {
    let mut argument = LinuxSeccompArgBuilder::default()
        .index(0_usize)
        .value(value)
        .op(operator);
    if let Some(second) = second {
        argument = argument.value_two(second);
    }
    // Index, value and operator are given, so it cannot fail.
    argument.build().unwrap_or_default()
}

/// By version, as there is nothing to probe: the bug was in the order of two checks.
fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    let Ok(uname) = nix::sys::utsname::uname() else {
        return false;
    };
    let release = uname.release().to_string_lossy();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|part| part.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}
