//! One system call, for each processor.

use rustix::io::Errno;

/// Makes the system call `number`.
///
/// # Safety
///
/// Whatever the call does to memory and descriptors of this process must be sound.
#[inline]
pub(super) unsafe fn call(number: u32, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: the caller vouches for what the call does.
    let result = unsafe { raw(number as usize, args) };
    // The last 4095 values are errors, negated (man 2 intro).
    match i32::try_from(result as isize) {
        Ok(negated @ -4095..0) => Err(Errno::from_raw_os_error(-negated)),
        Ok(_) | Err(_) => Ok(result),
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
unsafe fn raw(number: usize, [one, two, three, four, five, six]: [usize; 6]) -> usize {
    let result;
    // SAFETY: the kernel changes rax, rcx and r11, which are named as lost, and no other
    // register; memory as the caller vouches.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") one, in("rsi") two, in("rdx") three,
            in("r10") four, in("r8") five, in("r9") six,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

#[cfg(target_arch = "aarch64")]
#[inline]
unsafe fn raw(number: usize, [one, two, three, four, five, six]: [usize; 6]) -> usize {
    let result;
    // SAFETY: the kernel changes x0 alone; memory as the caller vouches.
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") one => result,
            in("x1") two, in("x2") three, in("x3") four, in("x4") five, in("x5") six,
            options(nostack),
        );
    }
    result
}

#[cfg(target_arch = "x86")]
#[inline]
unsafe fn raw(number: usize, [one, two, three, four, five, six]: [usize; 6]) -> usize {
    let words = [number, one, two, three, four, five, six];
    let result;
    // SAFETY: the seven words are read before anything is changed; the compiler's own registers
    // are put back from the stack; the kernel changes eax alone; memory as the caller vouches.
    unsafe {
        core::arch::asm!(
            "push ebp",
            "push esi",
            "push edi",
            "push ebx",
            "mov ebx, [eax + 4]",
            "mov ecx, [eax + 8]",
            "mov edx, [eax + 12]",
            "mov esi, [eax + 16]",
            "mov edi, [eax + 20]",
            "mov ebp, [eax + 24]",
            "mov eax, [eax]",
            "int 0x80",
            "pop ebx",
            "pop edi",
            "pop esi",
            "pop ebp",
            inlateout("eax") words.as_ptr() => result,
            lateout("ecx") _, lateout("edx") _,
        );
    }
    result
}

/// By way of the C library, which the program has on every other processor.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "x86")))]
#[inline]
unsafe fn raw(number: usize, [one, two, three, four, five, six]: [usize; 6]) -> usize {
    use core::ffi::{c_int, c_long};
    unsafe extern "C" {
        fn syscall(number: c_long, ...) -> c_long;
        fn __errno_location() -> *mut c_int;
    }
    // SAFETY: six words follow the number, as many as any call has; the caller vouches for it.
    let result = unsafe { syscall(number as c_long, one, two, three, four, five, six) };
    if result == -1 {
        // SAFETY: the C library gives the address of this thread's own variable.
        let errno = unsafe { __errno_location().read() };
        return (-errno) as usize;
    }
    result as usize
}
