//! The suites' tool as a program of its own, so that a container's root file system is small.
//!
//! The C library calls its `main` itself. Half of all code that so short a program executes is
//! the start of Rust's runtime (it reads `/proc/self/maps` for a stack guard), and an emulator
//! translates that anew for each container whose driver copies files (decision 0059).
#![cfg_attr(not(test), no_main)] // Its test harness has a `main` of its own.
#![cfg_attr(
    not(test),
    expect(unsafe_code, reason = "the C library finds `main` by its plain name")
)]

/// What the C library calls.
// SAFETY: no other function of this program has that name, and the C library's start-up code
// bears a `main` without parameters.
#[cfg(not(test))]
#[unsafe(no_mangle)]
extern "C" fn main() -> std::ffi::c_int {
    certify::guest_tool::main(std::env::args_os()).into()
}
