//! Scheduling, input and output priorities, and the personality of this process.
#![expect(unsafe_code, reason = "sched_setattr, ioprio_set, personality")]

use nix::errno::Errno;
use nix::libc;

/// What `sched_setattr(2)` sets (Linux 3.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SchedulingAttributes {
    /// `SCHED_*`
    pub(crate) policy: u32,
    /// `SCHED_FLAG_*`
    pub(crate) flags: u64,
    /// For the ordinary policies.
    pub(crate) nice: i32,
    /// For the real-time policies.
    pub(crate) priority: u32,
    /// For deadlines, nanoseconds, as the two below.
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
}

/// `struct sched_attr`, in its first version.
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets the scheduling of this thread.
pub(crate) fn set_scheduling(attributes: &SchedulingAttributes) -> Result<(), Errno> {
    let attr = SchedAttr {
        size: 48,
        policy: attributes.policy,
        flags: attributes.flags,
        nice: attributes.nice,
        priority: attributes.priority,
        runtime: attributes.runtime,
        deadline: attributes.deadline,
        period: attributes.period,
    };
    // SAFETY: the structure has the size that it tells, and lives over the call; 0 is this thread.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
    Errno::result(result).map(drop)
}

const _: () = assert!(size_of::<SchedAttr>() == 48);

/// Sets class and priority of this thread's input and output.
pub(crate) fn set_io_priority(priority: u16) -> Result<(), Errno> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    // SAFETY: no pointers; 0 is this thread.
    let result = unsafe {
        libc::syscall(
            libc::SYS_ioprio_set,
            IOPRIO_WHO_PROCESS,
            0,
            i32::from(priority),
        )
    };
    Errno::result(result).map(drop)
}

/// Sets the personality of this thread.
pub(crate) fn set_personality(personality: u32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    let result = unsafe { libc::personality(personality.into()) };
    Errno::result(result).map(drop)
}
