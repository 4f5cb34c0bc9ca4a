//! Runs a command on the oldest kernel that keel supports, as far as system calls go: all that are
//! newer give `ENOSYS`. `cargo test` can run every test so:
//!
//! ```console
//! # cargo build --package keel --example old-kernel
//! # CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=target/…/old-kernel cargo test --package keel
//! ```

use std::os::unix::process::CommandExt as _;
use std::process::Command;

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args_os().skip(1);
    let program = words.next();
    let program =
        program.ok_or_else(|| anyhow::anyhow!("usage: old-kernel COMMAND [ARGUMENT …]"))?;
    keel::sys::pretend::oldest_kernel()?;
    // `exec` returns only when it failed.
    Err(Command::new(program).args(words).exec().into())
}
