//! The suites' tool as a program of its own, so that a container's root file system is small
//! and so is what an emulator has to translate for each container (decision 0062).
#![cfg_attr(feature = "freestanding", no_std, no_main)]

#[cfg(feature = "freestanding")]
mod freestanding;
#[cfg(feature = "freestanding")]
mod sys;

#[cfg(not(feature = "freestanding"))]
fn main() -> std::process::ExitCode {
    use std::os::unix::ffi::OsStringExt;
    guest_tool::main(std::env::args_os().map(OsStringExt::into_vec)).into()
}
