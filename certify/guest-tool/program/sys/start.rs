//! From the kernel's jump to [`guest_tool::main`].

use super::alloc::vec::Vec;
use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicPtr, Ordering};

// The stack pointer is where the kernel has put the count of the arguments. A function expects
// it on a multiple of sixteen, before the call pushes the address to return to; the outermost
// frame has no frame pointer.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    ".type _start, @function",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {begin}",
    "ud2",
    begin = sym begin,
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl _start",
    ".type _start, %function",
    "_start:",
    "mov x29, #0",
    "mov x30, #0",
    "mov x0, sp",
    "bl {begin}",
    "brk #1",
    begin = sym begin,
);

#[cfg(target_arch = "x86")]
core::arch::global_asm!(
    ".globl _start",
    ".type _start, @function",
    "_start:",
    "xor ebp, ebp",
    "mov eax, esp",
    "and esp, -16",
    "sub esp, 12",
    "push eax",
    "call {begin}",
    "ud2",
    begin = sym begin,
);

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "x86")))]
compile_error!("no `_start` for this processor: build without `freestanding`");

/// The environment, under the name that C programs know it by.
// SAFETY: there is no C library in this program that could have the name too.
#[unsafe(no_mangle)]
static environ: AtomicPtr<*const c_char> = AtomicPtr::new(core::ptr::null_mut());

/// The first function, with what the kernel has put on the stack: the count of the arguments,
/// the arguments, a null pointer, the environment, a null pointer, and what nobody here asks for
/// (System V ABI, 3.4.1).
unsafe extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: the kernel has put the count there.
    let count = unsafe { stack.read() };
    // SAFETY: the arguments follow the count.
    let arguments = unsafe { stack.add(1) }.cast::<*const c_char>();
    // SAFETY: the environment follows the null pointer behind the last argument.
    let environment = unsafe { arguments.add(count + 1) };
    environ.store(environment.cast_mut(), Ordering::Relaxed);
    guest_tool::exit(guest_tool::main((0..count).map(|index| {
        // SAFETY: there are `count` of them.
        let argument = unsafe { arguments.add(index) };
        // SAFETY: it is one of the pointers that the kernel has put there.
        let argument = unsafe { argument.read() };
        // SAFETY: it points to a string that ends in NUL and stays as long as the process.
        Vec::from(unsafe { CStr::from_ptr(argument) }.to_bytes())
    })))
}
