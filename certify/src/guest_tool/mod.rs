//! The tool that runs inside the containers of the suites: one static program with many
//! small applets, so that a case needs no distribution's files and nothing is downloaded.
//!
//! An applet is called by the name of the program (a link `/bin/stat` to `seaworthy`) or as
//! `seaworthy guest-tool stat`. It prints its answer and exits 0, or names the error
//! (`EROFS: write /etc/x`) on standard error and exits 1. `try` runs several applets and
//! prints one line for each: `ok`, `ok ANSWER`, or the error's name alone, so that a case can
//! ask for exactly the refusal that the specification gives.

mod applet;
mod basic;
mod files;
mod hunt;
mod net;
mod probe;
mod process;
mod signals;
mod sys;
mod together;

pub use applet::{Applet, AppletError, applets, dispatch, main};
pub(crate) use signals::READY;

use std::path::{Path, PathBuf};

/// The name of the tool as a program of its own.
pub(crate) const PROGRAM: &str = "seaworthy-guest-tool";

/// The tool as a program of its own, if it lies beside `seaworthy`. It is an eighth of its size,
/// and every layer with it is hashed, unpacked and, by a driver that copies, copied again.
pub(crate) fn beside(seaworthy: &Path) -> Option<PathBuf> {
    Some(seaworthy.with_file_name(PROGRAM)).filter(|program| program.is_file())
}
