//! What a C library would do for a program. The only unsafe code of the program.
#![expect(
    unsafe_code,
    reason = "the start of a process, and symbols by their plain names"
)]

extern crate alloc;

mod memory;
mod start;
mod unwind;
