//! The few system calls that nix doesn't wrap. The only unsafe code of the guest tool.
#![expect(unsafe_code, reason = "system calls that no safe wrapper exists for")]

use std::ffi::CStr;

use nix::errno::Errno;
use nix::libc;

/// A system call that is tried for the refusal alone.
///
/// Values exist only as rows of [`super::probe`]'s table. Every argument in it is a small
/// integer or a null pointer, so that a kernel that does not refuse finds nothing to act on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    /// The call's number.
    pub(super) number: libc::c_long,
    /// Its arguments, the rest being zero.
    pub(super) args: [libc::c_long; 3],
}

/// Makes the call in this process.
pub(super) fn attempt(call: Attempt) -> Result<libc::c_long, Errno> {
    let [a, b, c] = call.args;
    // SAFETY: the kernel checks every argument, and those of the table are integers and null
    // pointers: none names memory of this process that the call could write to. What the
    // calls could change otherwise (namespaces, credentials, keyrings of this process) no
    // other part of this process relies on: it is about to report and exit.
    let result = unsafe { libc::syscall(call.number, a, b, c, 0, 0, 0) };
    Errno::result(result)
}

/// `unshare(CLONE_NEWUSER)` by way of the 32-bit entry of a 64-bit kernel, which a filter that
/// forgets to look at the architecture lets through.
///
/// A kernel without that entry ends the process by a signal.
#[cfg(target_arch = "x86_64")]
pub(super) fn unshare_user_by_int80() -> Result<(), Errno> {
    const UNSHARE_I386: libc::c_long = 310;
    const CLONE_NEWUSER: libc::c_long = 0x1000_0000;
    let result: libc::c_long;
    // SAFETY: one trap with two integer arguments and no pointer. rbx, which the compiler
    // reserves, is put back; the 32-bit entry clears r8 to r11, which are named as lost.
    unsafe {
        std::arch::asm!(
            "xchg {flags}, rbx",
            "int 0x80",
            "xchg {flags}, rbx",
            flags = inout(reg) CLONE_NEWUSER => _,
            inlateout("rax") UNSHARE_I386 => result,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    // The 32-bit entry leaves a 32-bit result.
    #[expect(clippy::cast_possible_truncation, reason = "32-bit by definition")]
    let result = result as i32;
    if result < 0 {
        Err(Errno::from_raw(-result))
    } else {
        Ok(())
    }
}

/// Sets an extended attribute, links not followed.
pub(super) fn set_xattr(path: &CStr, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: both strings end in NUL, and `value` is valid for its length.
    let result = unsafe {
        libc::lsetxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    Errno::result(result).map(drop)
}

/// The value of an extended attribute of at most 4 KiB, links not followed.
pub(super) fn get_xattr(path: &CStr, name: &CStr) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0_u8; 4096];
    // SAFETY: both strings end in NUL, and `value` may be written up to its length.
    let length = unsafe {
        libc::lgetxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    let length = Errno::result(length)?;
    value.truncate(usize::try_from(length).unwrap_or(0));
    Ok(value)
}
