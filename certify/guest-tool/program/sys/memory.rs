//! The functions on memory that the compiler takes for granted.
//!
//! Eight bytes at a time: an emulator executes `rep movsb` byte by byte, and so short a program
//! has nothing to gain from more. [`opaque`] keeps the compiler from seeing in each loop the
//! very function that it is the body of.

use core::ffi::{c_char, c_int};

const WORD: usize = size_of::<usize>();

/// `value`, of which the compiler then knows nothing.
#[inline]
fn opaque(mut value: usize) -> usize {
    // SAFETY: no instruction at all.
    unsafe {
        core::arch::asm!("/* {0} */", inout(reg) value, options(pure, nomem, nostack, preserves_flags));
    }
    value
}

/// Copies from the first byte to the last.
///
/// # Safety
///
/// Both are valid for `length` bytes, and `to` is not within what follows `from`.
#[inline]
unsafe fn forward(to: *mut u8, from: *const u8, length: usize) {
    let mut done = 0;
    while done + WORD <= length {
        // SAFETY: a word within `length`.
        let word = unsafe { from.wrapping_add(done).cast::<usize>().read_unaligned() };
        // SAFETY: as above.
        unsafe { to.wrapping_add(done).cast::<usize>().write_unaligned(word) };
        done = opaque(done + WORD);
    }
    while done < length {
        // SAFETY: a byte within `length`.
        let byte = unsafe { from.wrapping_add(done).read() };
        // SAFETY: as above.
        unsafe { to.wrapping_add(done).write(byte) };
        done = opaque(done + 1);
    }
}

/// Copies from the last byte to the first.
///
/// # Safety
///
/// Both are valid for `length` bytes, and `from` is not within what follows `to`.
#[inline]
unsafe fn backward(to: *mut u8, from: *const u8, length: usize) {
    let mut left = length;
    while left >= WORD {
        left = opaque(left - WORD);
        // SAFETY: a word within `length`.
        let word = unsafe { from.wrapping_add(left).cast::<usize>().read_unaligned() };
        // SAFETY: as above.
        unsafe { to.wrapping_add(left).cast::<usize>().write_unaligned(word) };
    }
    while left > 0 {
        left = opaque(left - 1);
        // SAFETY: a byte within `length`.
        let byte = unsafe { from.wrapping_add(left).read() };
        // SAFETY: as above.
        unsafe { to.wrapping_add(left).write(byte) };
    }
}

/// memcpy(3)
// SAFETY: there is no C library in this program that could have the name too.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: the caller vouches for both, and that they don't overlap.
    unsafe { forward(to, from, length) };
    to
}

/// memmove(3)
// SAFETY: as for `memcpy`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    if to.addr().wrapping_sub(from.addr()) >= length {
        // SAFETY: `to` lies before `from` or behind all of it: what is written is read already.
        unsafe { forward(to, from, length) };
    } else {
        // SAFETY: `to` lies within what follows `from`, so `from` doesn't lie behind `to`.
        unsafe { backward(to, from, length) };
    }
    to
}

/// memset(3)
// SAFETY: as for `memcpy`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: c_int, length: usize) -> *mut u8 {
    // C says that the byte is what is left of the number.
    let [byte, ..] = byte.to_le_bytes();
    let word = usize::from_ne_bytes([byte; WORD]);
    let mut done = 0;
    while done + WORD <= length {
        // SAFETY: a word within `length`, which the caller vouches for.
        unsafe { to.wrapping_add(done).cast::<usize>().write_unaligned(word) };
        done = opaque(done + WORD);
    }
    while done < length {
        // SAFETY: a byte within `length`.
        unsafe { to.wrapping_add(done).write(byte) };
        done = opaque(done + 1);
    }
    to
}

/// memcmp(3)
// SAFETY: as for `memcpy`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, length: usize) -> c_int {
    let mut done = 0;
    while done < length {
        // SAFETY: a byte within `length`, which the caller vouches for.
        let left = unsafe { one.wrapping_add(done).read() };
        // SAFETY: as above.
        let right = unsafe { other.wrapping_add(done).read() };
        if left != right {
            return c_int::from(left) - c_int::from(right);
        }
        done = opaque(done + 1);
    }
    0
}

/// bcmp(3)
// SAFETY: as for `memcpy`.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, length: usize) -> c_int {
    // SAFETY: the caller vouches for both.
    unsafe { memcmp(one, other, length) }
}

/// strlen(3)
// SAFETY: as for `memcpy`.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(string: *const c_char) -> usize {
    let mut length = 0;
    // SAFETY: the caller vouches for a NUL; before it, every byte is there.
    while unsafe { string.wrapping_add(length).read() } != 0 {
        length = opaque(length + 1);
    }
    length
}
