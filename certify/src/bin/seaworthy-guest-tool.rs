//! The suites' tool as a program of its own, so that a container's root file system is small.

use std::process::ExitCode;

fn main() -> ExitCode {
    certify::guest_tool::main(std::env::args_os())
}
