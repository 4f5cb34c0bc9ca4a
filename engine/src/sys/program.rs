//! Executing a program, and loading the filter that it runs under.
#![expect(unsafe_code, reason = "execve, seccomp")]

use std::ffi::{CStr, CString};
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;

/// A null-terminated array of C strings, ready for execve.
#[derive(Debug)]
pub(crate) struct StringArray {
    /// Points into the strings and ends with null.
    pointers: Vec<*const libc::c_char>,
    /// Keeps what is pointed at; never changed after the pointers were taken.
    _strings: Vec<CString>,
}

impl StringArray {
    pub(crate) fn new(strings: Vec<CString>) -> Self {
        let mut pointers: Vec<_> = strings.iter().map(|text| text.as_ptr()).collect();
        pointers.push(std::ptr::null());
        Self {
            pointers,
            _strings: strings,
        }
    }
}

/// Replaces the process image; returns only when that failed.
pub(crate) fn execute(program: &CStr, args: &StringArray, env: &StringArray) -> Errno {
    // SAFETY: both arrays are null-terminated and point at terminated strings that they own.
    unsafe {
        libc::execve(
            program.as_ptr(),
            args.pointers.as_ptr(),
            env.pointers.as_ptr(),
        )
    };
    Errno::last()
}

/// One instruction of classic BPF, laid out as the kernel's `sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when true.
    pub jump_true: u8,
    /// Instructions to skip when false.
    pub jump_false: u8,
    /// Operand.
    pub k: u32,
}

#[repr(C)]
struct Program {
    length: u16,
    filter: *const Instruction,
}

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER` (Linux 5.0).
pub(crate) const NEW_LISTENER: u32 = 8;

/// Installs a system call filter on this thread. `flags` are `SECCOMP_FILTER_FLAG_*`; with
/// [`NEW_LISTENER`], the descriptor comes back that its notifications are read from.
///
/// # Errors
/// `EACCES` without `no_new_privs` and `CAP_SYS_ADMIN`; `EINVAL` when the kernel has no filters
/// or does not know a flag.
pub(crate) fn install_filter(filter: &[Instruction], flags: u32) -> Result<Option<OwnedFd>, Errno> {
    const SECCOMP_SET_MODE_FILTER: usize = 1;
    let program = Program {
        length: u16::try_from(filter.len()).map_err(|_| Errno::EINVAL)?,
        filter: filter.as_ptr(),
    };
    // SAFETY: `program` describes one slice; both live over the call, and the kernel copies.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SECCOMP_SET_MODE_FILTER,
            flags as usize,
            &raw const program,
        )
    };
    match Errno::result(result) {
        // The seccomp call is of 3.17; prctl does the same without flags since 3.5.
        Err(Errno::ENOSYS) if flags == 0 => {
            // SAFETY: as above.
            let result = unsafe {
                libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER as usize,
                    &raw const program,
                    0_usize,
                    0_usize,
                )
            };
            Errno::result(result).map(|_| None)
        }
        Ok(fd) if flags & NEW_LISTENER != 0 => {
            let fd = RawFd::try_from(fd).map_err(|_| Errno::EBADF)?;
            // SAFETY: the kernel has just made it for us.
            Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
        }
        other => other.map(|_| None),
    }
}

/// Whether this kernel can filter system calls: it then looks at the (bad) pointer first.
pub(crate) fn filters_supported() -> bool {
    // SAFETY: a null filter is refused with EFAULT; nothing is installed.
    let result = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER as usize,
            0_usize,
            0_usize,
            0_usize,
        )
    };
    Errno::result(result) == Err(Errno::EFAULT)
}
