//! Capabilities and the little of a process's identity that `nix` lacks.
#![expect(unsafe_code, reason = "capset, prctl")]

use nix::errno::Errno;
use nix::libc;

/// The capability sets of a thread, a bit for each capability number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CapabilitySets {
    /// What counts now.
    pub(crate) effective: u64,
    /// What may be made effective.
    pub(crate) permitted: u64,
    /// What survives execve of a file with inheritable capabilities.
    pub(crate) inheritable: u64,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3` (2.6.26): two words a set.
const VERSION_3: u32 = 0x2008_0522;

const fn low(set: u64) -> u32 {
    (set & 0xffff_ffff) as u32
}

const fn high(set: u64) -> u32 {
    (set >> 32) as u32
}

/// Sets this thread's effective, permitted and inheritable capabilities.
pub(crate) fn set_capabilities(sets: CapabilitySets) -> Result<(), Errno> {
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let half = |of: fn(u64) -> u32| Data {
        effective: of(sets.effective),
        permitted: of(sets.permitted),
        inheritable: of(sets.inheritable),
    };
    let data = [half(low), half(high)];
    // SAFETY: version 3 reads two elements of `data`; both structures live over the call.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    Errno::result(result).map(drop)
}

/// This thread's effective, permitted and inheritable capabilities.
pub(crate) fn capabilities() -> Result<CapabilitySets, Errno> {
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 writes two elements of `data`; both structures live over the call.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) };
    Errno::result(result)?;
    let [a, b] = data;
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok(CapabilitySets {
        effective: join(a.effective, b.effective),
        permitted: join(a.permitted, b.permitted),
        inheritable: join(a.inheritable, b.inheritable),
    })
}

fn prctl(option: i32, a: usize, b: usize) -> Result<(), Errno> {
    // SAFETY: only called below with options that take plain numbers.
    let result = unsafe { libc::prctl(option, a, b, 0, 0) };
    Errno::result(result).map(drop)
}

/// Takes a capability out of the bounding set. `EINVAL`: the kernel does not know it.
pub(crate) fn drop_bounding(capability: u8) -> Result<(), Errno> {
    prctl(libc::PR_CAPBSET_DROP, usize::from(capability), 0)
}

/// Empties the ambient set. `EINVAL`: the kernel has none (before 4.3).
pub(crate) fn clear_ambient() -> Result<(), Errno> {
    prctl(
        libc::PR_CAP_AMBIENT,
        libc::PR_CAP_AMBIENT_CLEAR_ALL as usize,
        0,
    )
}

/// Adds a permitted and inheritable capability to the ambient set (4.3).
pub(crate) fn raise_ambient(capability: u8) -> Result<(), Errno> {
    prctl(
        libc::PR_CAP_AMBIENT,
        libc::PR_CAP_AMBIENT_RAISE as usize,
        usize::from(capability),
    )
}

/// Sets the NIS domain name of the UTS namespace.
pub(crate) fn set_domain_name(name: &[u8]) -> Result<(), Errno> {
    // SAFETY: pointer and length belong to one slice.
    let result = unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) };
    Errno::result(result).map(drop)
}

/// A new, empty session keyring, so that the caller's keys are out of reach.
pub(crate) fn new_session_keyring() -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: usize = 1;
    // SAFETY: a null name means an anonymous keyring.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0_usize) };
    Errno::result(result).map(drop)
}

/// Sets one resource limit of this process; `RLIM_INFINITY` is `u64::MAX`.
pub(crate) fn set_limit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: `limit` lives over the call; a null old limit is allowed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            0_usize,
            resource as usize,
            &raw const limit,
            0_usize,
        )
    };
    Errno::result(result).map(drop)
}

// The C library's setuid family tells every thread that it knows of, and after a raw clone it knows
// of threads that are not there; these ask the kernel for this thread alone.
#[cfg(target_arch = "x86")]
mod numbers {
    pub(super) const SETGROUPS: nix::libc::c_long = nix::libc::SYS_setgroups32;
    pub(super) const SETRESGID: nix::libc::c_long = nix::libc::SYS_setresgid32;
    pub(super) const SETRESUID: nix::libc::c_long = nix::libc::SYS_setresuid32;
}
#[cfg(not(target_arch = "x86"))]
mod numbers {
    pub(super) const SETGROUPS: nix::libc::c_long = nix::libc::SYS_setgroups;
    pub(super) const SETRESGID: nix::libc::c_long = nix::libc::SYS_setresgid;
    pub(super) const SETRESUID: nix::libc::c_long = nix::libc::SYS_setresuid;
}

/// Sets the supplementary groups of this thread.
pub(crate) fn set_groups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: pointer and length belong to one slice.
    let result = unsafe { libc::syscall(numbers::SETGROUPS, groups.len(), groups.as_ptr()) };
    Errno::result(result).map(drop)
}

/// Sets real, effective and saved group id of this thread.
pub(crate) fn set_group(gid: u32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    let result = unsafe { libc::syscall(numbers::SETRESGID, gid, gid, gid) };
    Errno::result(result).map(drop)
}

/// Sets real, effective and saved user id of this thread.
pub(crate) fn set_user(uid: u32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    let result = unsafe { libc::syscall(numbers::SETRESUID, uid, uid, uid) };
    Errno::result(result).map(drop)
}
