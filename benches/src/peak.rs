//! The memory of a process at its most.

use std::io;
use std::process::{Command, Stdio};

/// The largest resident set that `command`, or any child that it waited for, had, in KiB.
///
/// The kernel keeps one maximum over all children of a process, so it is asked in a process of
/// its own: `time` from GNU, which does nothing else.
///
/// # Errors
/// `/usr/bin/time` is not installed, or the command failed.
pub fn peak_kib(command: &Command) -> io::Result<u64> {
    let output = Command::new("/usr/bin/time")
        .args(["-f", "%M"])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| io::Error::other(format!("/usr/bin/time (package `time`): {error}")))?;
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines()
        .next_back()
        .and_then(|line| line.parse().ok())
        .ok_or_else(|| io::Error::other(format!("{command:?} printed no memory figure: {text}")))
}
