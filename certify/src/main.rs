//! `seaworthy`: certifies container engines across kernels and distributions.

use std::process::ExitCode;

fn main() -> ExitCode {
    certify::cli::main(std::env::args_os())
}
