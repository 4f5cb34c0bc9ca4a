//! What rustix doesn't wrap, or not for good. The only unsafe code of the applets.
#![expect(unsafe_code, reason = "system calls that no safe wrapper exists for")]
#![expect(
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the words of a system call have no sign"
)]

mod call;

use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char};
use core::ptr::null;

use linux_raw_sys::general as linux;
use linux_raw_sys::ioctl::SIOCGIFFLAGS;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::io::Errno;
use rustix::process::Pid;

use self::call::call;

/// A system call that is tried for the refusal alone.
///
/// Values exist only as rows of [`super::probe`]'s table. Every argument in it is a small
/// integer or a null pointer, so that a kernel that does not refuse finds nothing to act on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    /// The call's number.
    pub(crate) number: u32,
    /// Its arguments, the rest being zero.
    pub(crate) args: [isize; 3],
}

/// Makes the call in this process.
pub(crate) fn attempt(attempt: Attempt) -> Result<usize, Errno> {
    let [a, b, c] = attempt.args.map(|word| word as usize);
    // SAFETY: the kernel checks every argument, and those of the table are integers and null
    // pointers: none names memory of this process that the call could write to. What the
    // calls could change otherwise (namespaces, credentials, keyrings of this process) no
    // other part of this process relies on: it is about to report and exit.
    unsafe { call(attempt.number, [a, b, c, 0, 0, 0]) }
}

/// `unshare(CLONE_NEWUSER)` by way of the 32-bit entry of a 64-bit kernel, which a filter that
/// forgets to look at the architecture lets through.
///
/// A kernel without that entry ends the process by a signal.
#[cfg(target_arch = "x86_64")]
pub(crate) fn unshare_user_by_int80() -> Result<(), Errno> {
    const UNSHARE_I386: u64 = 310;
    let result: u64;
    // SAFETY: one trap with two integer arguments and no pointer. rbx, which the compiler
    // reserves, is put back; the 32-bit entry clears r8 to r11, which are named as lost.
    unsafe {
        core::arch::asm!(
            "xchg {flags}, rbx",
            "int 0x80",
            "xchg {flags}, rbx",
            flags = inout(reg) u64::from(linux::CLONE_NEWUSER) => _,
            inlateout("rax") UNSHARE_I386 => result,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    // The 32-bit entry leaves a 32-bit result.
    #[expect(clippy::cast_possible_truncation, reason = "32-bit by definition")]
    let result = result as i32;
    if result < 0 {
        Err(Errno::from_raw_os_error(-result))
    } else {
        Ok(())
    }
}

/// One of the three descriptors that a process is started with; a call on it is refused with
/// `EBADF` where it was not.
pub(crate) const fn standard<const NUMBER: i32>() -> BorrowedFd<'static> {
    const { assert!(0 <= NUMBER && NUMBER <= 2) };
    // SAFETY: nothing here closes the first three descriptors or takes them for its own; where
    // the process was started without one, the number is still a valid one, not -1.
    unsafe { BorrowedFd::borrow_raw(NUMBER) }
}

unsafe extern "C" {
    /// The environment, where a C library keeps it. The freestanding program keeps it there too.
    static environ: *const *const c_char;
}

/// The strings of the environment.
pub(crate) fn environment() -> impl Iterator<Item = &'static CStr> {
    // SAFETY: set before `main`, and nothing in this process changes it: that would be unsafe.
    let mut next = unsafe { environ };
    core::iter::from_fn(move || {
        if next.is_null() {
            return None;
        }
        // SAFETY: not behind the null pointer that ends the array, as the iteration ends there.
        let string = unsafe { next.read() };
        if string.is_null() {
            return None;
        }
        // SAFETY: `string` was not the null pointer, so the array goes on.
        next = unsafe { next.add(1) };
        // SAFETY: what the array holds ends in NUL and stays for as long as the process.
        Some(unsafe { CStr::from_ptr(string) })
    })
}

/// Whether a network interface is up (netdevice(7)).
pub(crate) fn is_up(socket: impl AsFd, name: &str) -> Result<bool, Errno> {
    const NAME: usize = 16;
    const IFF_UP: u16 = 1;
    // `struct ifreq`: a name that ends in NUL, and a union that begins with the flags.
    let mut request = [0_u8; NAME + 24];
    let room = request.iter_mut().take(NAME - 1);
    room.zip(name.bytes()).for_each(|(to, from)| *to = from);
    let socket = socket.as_fd().as_raw_fd() as usize;
    let request_at = request.as_mut_ptr() as usize;
    let args = [socket, SIOCGIFFLAGS as usize, request_at, 0, 0, 0];
    // SAFETY: SIOCGIFFLAGS reads the name and writes the flags of one ifreq, a live local.
    unsafe { call(linux::__NR_ioctl, args) }?;
    let flags = request.get(NAME..).and_then(|union| union.first_chunk());
    Ok(flags.is_some_and(|flags| u16::from_ne_bytes(*flags) & IFF_UP != 0))
}

/// A set of signals, as the kernel takes it: a bit a signal, the first for signal 1.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SignalSet(u64);

impl SignalSet {
    /// With the signal `number` too.
    pub(crate) fn with(self, number: u32) -> Self {
        Self(self.0 | 1 << (number - 1))
    }
}

/// Blocks the signals `set` as well.
pub(crate) fn block(set: SignalSet) -> Result<(), Errno> {
    change_mask(linux::SIG_BLOCK, set)
}

fn change_mask(how: u32, set: SignalSet) -> Result<(), Errno> {
    let set = &raw const set.0;
    let args = [how as usize, set as usize, 0, size_of::<u64>(), 0, 0];
    // SAFETY: `set` is read for its eight bytes; a blocked signal breaks no invariant.
    unsafe { call(linux::__NR_rt_sigprocmask, args) }.map(drop)
}

/// Takes a signal of `set`, which are blocked, when there is one: its number.
pub(crate) fn wait(set: SignalSet) -> Result<u32, Errno> {
    let set = &raw const set.0;
    let args = [set as usize, 0, 0, size_of::<u64>(), 0, 0];
    // SAFETY: `set` is read for its eight bytes; the kernel writes nothing, as no place for more
    // of the signal is given.
    rustix::io::retry_on_intr(|| unsafe { call(linux::__NR_rt_sigtimedwait, args) })
        .map(|number| u32::try_from(number).unwrap_or(0))
}

/// Lets SIGPIPE end the process, as it does where nobody said otherwise.
fn default_sigpipe() -> Result<(), Errno> {
    // Default action, no flags, empty mask: all zero, in as many bytes as it has anywhere.
    let action = [0_u64; 4];
    let action = &raw const action;
    let args = [
        linux::SIGPIPE as usize,
        action as usize,
        0,
        size_of::<u64>(),
        0,
        0,
    ];
    // SAFETY: `action` is read and not kept; it names no handler.
    unsafe { call(linux::__NR_rt_sigaction, args) }.map(drop)
}

/// What a program is started with, in the kernel's form.
pub(crate) struct Arguments {
    /// The strings that `pointers` point to.
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Arguments {
    /// The first is the program's own name.
    pub(crate) fn new(strings: Vec<CString>) -> Self {
        let pointers = strings
            .iter()
            .map(|string| string.as_ptr())
            .chain([null()])
            .collect();
        Self {
            _strings: strings,
            pointers,
        }
    }

    /// Becomes `program`, with no signal blocked; returns only the refusal. Allocates nothing.
    pub(crate) fn execute(&self, program: &CStr) -> Errno {
        // What they refuse can't be helped here.
        let _ = change_mask(linux::SIG_SETMASK, SignalSet::default());
        let _ = default_sigpipe();
        // SAFETY: set before `main`, and nothing in this process changes it.
        let environment = unsafe { environ };
        let args = [
            program.as_ptr() as usize,
            self.pointers.as_ptr() as usize,
            environment as usize,
            0,
            0,
            0,
        ];
        // SAFETY: a string that ends in NUL and two arrays of such that end in a null pointer;
        // if the call succeeds, nothing of this process is left.
        match unsafe { call(linux::__NR_execve, args) } {
            Err(errno) => errno,
            Ok(_) => Errno::NOEXEC,
        }
    }
}

/// Starts a child, which does `work` and ends with the status that it gives.
///
/// In a process with several threads `work` may use nothing that another of them could hold a
/// lock of: it must not allocate.
pub(crate) fn fork(work: impl FnOnce() -> u8) -> Result<Pid, Errno> {
    let args = [linux::SIGCHLD as usize, 0, 0, 0, 0, 0];
    // SAFETY: without CLONE_VM the child has memory of its own; it leaves by `exit` below and
    // never returns into what the parent goes on with.
    let pid = unsafe { call(linux::__NR_clone, args) }?;
    match i32::try_from(pid).ok().and_then(Pid::from_raw) {
        Some(pid) => Ok(pid),
        None => exit(work()),
    }
}

/// Ends the process.
pub fn exit(status: u8) -> ! {
    loop {
        let args = [usize::from(status), 0, 0, 0, 0, 0];
        // SAFETY: nothing of this process is left.
        let _ = unsafe { call(linux::__NR_exit_group, args) };
    }
}
