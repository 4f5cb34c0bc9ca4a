//! The attack of CVE-2019-5736: a process in a container lies in wait for the engine's own
//! program, which shows for a moment under `/proc/PID/exe` while the engine enters the
//! container, and tries to open it for writing.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags, SeekFrom, fstat, open, openat, readlink, seek, stat};

use crate::applet::{Applet, AppletError};
use crate::directory::each_name;
use crate::errno;
use crate::signals::ready;

pub(super) const APPLETS: &[Applet] = &[Applet {
    name: "hunt",
    usage: "",
    run: hunt,
}];

/// Opens whatever foreign program shows in any process, until the file `/tmp/over` appears;
/// then tries to open each for writing. `safe PATH ERROR` or `writable PATH`, one a line.
fn hunt(_: &[String]) -> Result<String, AppletError> {
    let own = stat("/proc/self/exe").map_err(AppletError::refused("stat myself"))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = open("/proc", flags, Mode::empty()).map_err(AppletError::refused("ls /proc"))?;
    ready()?;
    let mut prey: BTreeMap<_, OwnedFd> = BTreeMap::new();
    let mut exe = Vec::new();
    while stat("/tmp/over").is_err() {
        seek(&proc, SeekFrom::Start(0))
            .and_then(|_| {
                each_name(&proc, |name| {
                    exe.clear();
                    exe.extend_from_slice(name.to_bytes());
                    exe.extend_from_slice(b"/exe");
                    // O_PATH keeps hold of the file after the process has gone on to another
                    // program.
                    let flags = OFlags::PATH | OFlags::CLOEXEC;
                    let Ok(file) = openat(&proc, exe.as_slice(), flags, Mode::empty()) else {
                        return Ok(());
                    };
                    let Ok(meta) = fstat(&file) else {
                        return Ok(());
                    };
                    if (meta.st_dev, meta.st_ino) != (own.st_dev, own.st_ino) {
                        prey.entry((meta.st_dev, meta.st_ino)).or_insert(file);
                    }
                    Ok(())
                })
            })
            .map_err(AppletError::refused("ls /proc"))?;
    }
    let mut text = format!("found {}\n", prey.len());
    for file in prey.values() {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let opened = open(path.as_str(), flags, Mode::empty());
        let name = readlink(path.as_str(), Vec::new()).unwrap_or_default();
        let name = name.to_string_lossy();
        let _ = match opened {
            // Found writable is enough: nothing is written.
            Ok(_) => writeln!(text, "writable {name}"),
            Err(error) => writeln!(text, "safe {name} {}", errno::name(error)),
        };
    }
    Ok(text)
}
