//! A new kernel that answers like an old one: for trying out what keel falls back on.

use nix::errno::Errno;
use nix::libc;

use super::clone::pidfd_open;
use super::program::{Instruction, install_filter};

/// The variable that asks for it, and the one value that it may have.
pub const VARIABLE: &str = "KEEL_PRETEND_KERNEL";
/// The oldest kernel that keel supports.
pub const OLDEST: &str = "3.8";

/// The last system call of Linux 3.8, `finit_module`, and the processor as filters see it
/// (`AUDIT_ARCH_*`). Later kernels only added numbers above.
#[cfg(target_arch = "x86_64")]
const LAST: (u32, u32) = (313, 0xc000_003e);
#[cfg(target_arch = "x86")]
const LAST: (u32, u32) = (350, 0x4000_0003);
#[cfg(target_arch = "aarch64")]
const LAST: (u32, u32) = (273, 0xc000_00b7);
#[cfg(target_arch = "arm")]
const LAST: (u32, u32) = (379, 0x4000_0028);

/// From now on the kernel knows no system call that Linux 3.8 did not know: this thread, all that
/// it starts, and what they execute get `ENOSYS`.
///
/// It says nothing of what calls do and file systems offer: control groups, flags and mount options
/// are still the new kernel's.
///
/// # Errors
/// `EACCES` without `CAP_SYS_ADMIN`; `EINVAL` on a kernel without filters.
pub fn oldest_kernel() -> Result<(), Errno> {
    const LOAD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const JUMP_IF_GREATER: u16 = 0x25;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;
    // Offsets in `struct seccomp_data`.
    const NUMBER: u32 = 0;
    const PROCESSOR: u32 = 4;

    let (last, processor) = LAST;
    let step = |code, jump_true, jump_false, k| Instruction {
        code,
        jump_true,
        jump_false,
        k,
    };
    install_filter(
        &[
            step(LOAD, 0, 0, PROCESSOR),
            step(JUMP_IF_EQUAL, 0, 2, processor),
            step(LOAD, 0, 0, NUMBER),
            step(JUMP_IF_GREATER, 1, 0, last),
            step(RETURN, 0, 0, ALLOW),
            step(RETURN, 0, 0, ERRNO | libc::ENOSYS.unsigned_abs()),
        ],
        0,
    )
    .map(drop)
}

/// Whether the kernel answers so already.
pub fn is_old() -> bool {
    pidfd_open(std::process::id()).err() == Some(Errno::ENOSYS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::eventfd::EventFd;

    #[test]
    fn newer_calls_are_unknown_to_the_thread_and_older_ones_work() {
        let answers = std::thread::spawn(|| {
            oldest_kernel().unwrap();
            (is_old(), EventFd::new().is_ok())
        });
        assert_eq!(answers.join().unwrap(), (true, true));
    }
}
