//! The suites' tool as a program of its own, so that a container's root file system is small.

fn main() -> std::process::ExitCode {
    use std::os::unix::ffi::OsStringExt;
    guest_tool::main(std::env::args_os().map(OsStringExt::into_vec)).into()
}
