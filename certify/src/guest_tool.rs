//! The tool that runs inside the containers of the suites, as this crate knows it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

pub(crate) use ::guest_tool::{READY, applets};

/// The name of the tool as a program of its own.
pub(crate) const PROGRAM: &str = "seaworthy-guest-tool";

/// The tool as a program of its own, if it lies beside `seaworthy`. It is a hundredth of its
/// size, and every layer with it is hashed, unpacked and, by a driver that copies, copied again.
pub(crate) fn beside(seaworthy: &Path) -> Option<PathBuf> {
    Some(seaworthy.with_file_name(PROGRAM)).filter(|program| program.is_file())
}

/// Runs the applet that the command line calls for, if it does: its exit status.
pub(crate) fn dispatch(args: &[OsString]) -> Option<u8> {
    ::guest_tool::dispatch(args.iter().cloned().map(OsStringExt::into_vec))
}
