//! The kernel's random number generator.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;

/// `_IOW('R', 0x03, int[2])` and `_IO('R', 0x07)`, `include/uapi/linux/random.h`.
const ADD_ENTROPY: libc::Ioctl = 0x4008_5203;
const RESEED: libc::Ioctl = 0x5207;

/// `struct rand_pool_info` with a seed in it.
#[repr(C)]
struct PoolInfo {
    bits: libc::c_int,
    bytes: libc::c_int,
    seed: [u8; 32],
}

/// Gives the generator a secret seed that it has not had, and has it start anew from that (before
/// 4.14 it does so within minutes).
pub(crate) fn reseed(seed: [u8; 32]) -> io::Result<()> {
    let generator = File::options().write(true).open("/dev/urandom")?;
    let info = PoolInfo {
        bits: 256,
        bytes: 32,
        seed,
    };
    // SAFETY: RNDADDENTROPY reads two integers and as many bytes as the second says, all of them
    // in a live local.
    let added = unsafe { libc::ioctl(generator.as_raw_fd(), ADD_ENTROPY, &raw const info) };
    Errno::result(added)?;
    // SAFETY: RNDRESEEDCRNG takes no argument.
    let reseeded = unsafe { libc::ioctl(generator.as_raw_fd(), RESEED) };
    match Errno::result(reseeded) {
        Ok(_) | Err(Errno::EINVAL | Errno::ENOTTY) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
