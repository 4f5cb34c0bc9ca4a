//! The one gate for system calls that old kernels lack.
//!
//! The kernel's answer decides, never its version (vendors backport): a call that gave `ENOSYS`
//! is remembered as absent and not tried again. Callers fall back on `ENOSYS` alone.
#![expect(unsafe_code, reason = "raw system calls")]

use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::libc;

/// A system call newer than Linux 3.8. Numbers from 424 on are the same on every architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Newer {
    /// 5.1
    PidfdSendSignal,
    /// 5.2
    OpenTree,
    /// 5.2
    MoveMount,
    /// 5.2
    Fsopen,
    /// 5.2
    Fsconfig,
    /// 5.2
    Fsmount,
    /// 5.3
    PidfdOpen,
    /// 5.3
    Clone3,
    /// 5.9
    CloseRange,
    /// 5.6
    Openat2,
    /// 5.12
    MountSetattr,
}

impl Newer {
    const fn number(self) -> libc::c_long {
        match self {
            Self::PidfdSendSignal => 424,
            Self::OpenTree => 428,
            Self::MoveMount => 429,
            Self::Fsopen => 430,
            Self::Fsconfig => 431,
            Self::Fsmount => 432,
            Self::PidfdOpen => 434,
            Self::Clone3 => 435,
            Self::CloseRange => 436,
            Self::Openat2 => 437,
            Self::MountSetattr => 442,
        }
    }

    const fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

/// A bit for each [`Newer`] call that this kernel was found to lack.
static ABSENT: AtomicU32 = AtomicU32::new(0);

/// Whether the call was found to be absent: for callers that would only prepare for it in vain.
pub(crate) fn known_absent(call: Newer) -> bool {
    ABSENT.load(Ordering::Relaxed) & call.bit() != 0
}

/// Makes the call.
///
/// # Safety
/// The arguments must be valid for this very call, as its manual page demands.
///
/// # Errors
/// The kernel's; `ENOSYS` when the call is absent.
pub(crate) unsafe fn call(call: Newer, args: [usize; 5]) -> Result<usize, Errno> {
    if known_absent(call) {
        return Err(Errno::ENOSYS);
    }
    let [first, second, third, fourth, fifth] = args;
    // SAFETY: the caller vouches for the arguments.
    let result = unsafe { libc::syscall(call.number(), first, second, third, fourth, fifth) };
    match Errno::result(result) {
        Ok(value) => Ok(usize::try_from(value).unwrap_or_default()),
        Err(Errno::ENOSYS) => {
            ABSENT.fetch_or(call.bit(), Ordering::Relaxed);
            Err(Errno::ENOSYS)
        }
        Err(errno) => Err(errno),
    }
}
