//! Applets that wait for signals.

use std::fmt::Write as _;
use std::str::FromStr;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};

use super::applet::{Applet, AppletError};

pub(super) const APPLETS: &[Applet] = &[
    Applet {
        name: "trap",
        usage: "SIGNAL[=STATUS]…",
        run: trap,
    },
    Applet {
        name: "ignore",
        usage: "SIGNAL…",
        run: ignore,
    },
];

/// The name under which a process shows that it is where its case wants it. Seen from
/// outside in `/proc/PID/comm`, so that no case has to sleep or to read a log for it.
pub(crate) const READY: &std::ffi::CStr = c"sw-ready";

/// Shows that everything is set up.
pub(super) fn ready() -> Result<(), AppletError> {
    prctl::set_name(READY).map_err(AppletError::refused("prctl PR_SET_NAME"))
}

/// Stays until something ends the process.
pub(super) fn forever() -> Result<String, AppletError> {
    loop {
        nix::unistd::pause();
    }
}

fn signal(name: &str) -> Result<Signal, AppletError> {
    Signal::from_str(&format!("SIG{name}")).map_err(|_| AppletError::usage())
}

/// Blocks the signals and takes them one by one: prints each name, and ends where the signal
/// has a status.
fn trap(args: &[String]) -> Result<String, AppletError> {
    use std::io::Write as _;
    let mut wanted = Vec::new();
    let mut set = SigSet::empty();
    for arg in args {
        let (name, status) = arg
            .split_once('=')
            .map_or((arg.as_str(), None), |(n, s)| (n, Some(s)));
        let status: Option<u8> = status
            .map(str::parse)
            .transpose()
            .map_err(|_| AppletError::usage())?;
        let number = signal(name)?;
        set.add(number);
        wanted.push((number, status));
    }
    set.thread_block()
        .map_err(AppletError::refused("block signals"))?;
    ready()?;
    loop {
        let got = set.wait().map_err(AppletError::refused("sigwait"))?;
        let mut line = String::new();
        let _ = writeln!(line, "{}", got.as_str());
        drop(std::io::stdout().lock().write_all(line.as_bytes()));
        let status = wanted
            .iter()
            .find(|(number, _)| *number == got)
            .and_then(|(_, status)| *status);
        if let Some(status) = status {
            return Err(AppletError::Status(status));
        }
    }
}

/// Blocks the signals and stays. A blocked signal shows in `SigBlk` of `/proc/PID/status`.
fn ignore(args: &[String]) -> Result<String, AppletError> {
    let mut set = SigSet::empty();
    for name in args {
        set.add(signal(name)?);
    }
    set.thread_block()
        .map_err(|errno: Errno| AppletError::Refused {
            errno,
            what: "block signals".to_owned(),
        })?;
    ready()?;
    forever()
}
