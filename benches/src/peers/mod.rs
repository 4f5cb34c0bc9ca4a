//! The programs that are compared, each set up to run `/bin/true` of the same root file system.

mod crun;
mod keel;

pub use crun::{Crun, Given};
pub use keel::Keel;

use std::io;
use std::process::Command;

/// Runs a preparation, and says what it said when it fails.
fn done(command: &mut Command) -> io::Result<()> {
    let output = command.output().map_err(|error| {
        let program = command.get_program().to_string_lossy();
        io::Error::other(format!(
            "{program}: {error}; run `make bench`, which installs it"
        ))
    })?;
    if output.status.success() {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        let status = output.status;
        Err(io::Error::other(format!("{command:?}: {status}: {said}")))
    }
}
