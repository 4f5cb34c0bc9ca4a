//! `keel`: a compact, fast, Docker-compatible container engine.

use std::process::ExitCode;

fn main() -> ExitCode {
    keel::cli::main(std::env::args_os())
}
