//! Applets that wait for signals.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use linux_raw_sys::general as linux;
use rustix::thread::set_name;

use crate::applet::{Applet, AppletError};
use crate::stream::{OUT, say};
use crate::sys::{SignalSet, block, wait};

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
pub const READY: &core::ffi::CStr = c"sw-ready";

/// Shows that everything is set up.
pub(super) fn ready() -> Result<(), AppletError> {
    set_name(READY).map_err(AppletError::refused("prctl PR_SET_NAME"))
}

/// Stays until something ends the process.
pub(super) fn forever() -> Result<String, AppletError> {
    loop {
        rustix::event::pause();
    }
}

/// The signals by their names, without `SIG`.
const SIGNALS: &[(&str, u32)] = &[
    ("HUP", linux::SIGHUP),
    ("INT", linux::SIGINT),
    ("QUIT", linux::SIGQUIT),
    ("ILL", linux::SIGILL),
    ("TRAP", linux::SIGTRAP),
    ("ABRT", linux::SIGABRT),
    ("BUS", linux::SIGBUS),
    ("FPE", linux::SIGFPE),
    ("KILL", linux::SIGKILL),
    ("USR1", linux::SIGUSR1),
    ("SEGV", linux::SIGSEGV),
    ("USR2", linux::SIGUSR2),
    ("PIPE", linux::SIGPIPE),
    ("ALRM", linux::SIGALRM),
    ("TERM", linux::SIGTERM),
    ("STKFLT", linux::SIGSTKFLT),
    ("CHLD", linux::SIGCHLD),
    ("CONT", linux::SIGCONT),
    ("STOP", linux::SIGSTOP),
    ("TSTP", linux::SIGTSTP),
    ("TTIN", linux::SIGTTIN),
    ("TTOU", linux::SIGTTOU),
    ("URG", linux::SIGURG),
    ("XCPU", linux::SIGXCPU),
    ("XFSZ", linux::SIGXFSZ),
    ("VTALRM", linux::SIGVTALRM),
    ("PROF", linux::SIGPROF),
    ("WINCH", linux::SIGWINCH),
    ("IO", linux::SIGIO),
    ("PWR", linux::SIGPWR),
    ("SYS", linux::SIGSYS),
];

fn signal(name: &str) -> Result<u32, AppletError> {
    SIGNALS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
        .ok_or_else(AppletError::usage)
}

/// Blocks the signals and takes them one by one: prints each name, and ends where the signal
/// has a status.
fn trap(args: &[String]) -> Result<String, AppletError> {
    let mut wanted = Vec::new();
    let mut set = SignalSet::default();
    for arg in args {
        let (name, status) = arg
            .split_once('=')
            .map_or((arg.as_str(), None), |(n, s)| (n, Some(s)));
        let status: Option<u8> = status
            .map(str::parse)
            .transpose()
            .map_err(|_| AppletError::usage())?;
        let number = signal(name)?;
        set = set.with(number);
        wanted.push((number, name, status));
    }
    block(set).map_err(AppletError::refused("block signals"))?;
    ready()?;
    loop {
        let got = wait(set).map_err(AppletError::refused("sigwait"))?;
        let Some((_, name, status)) = wanted.iter().find(|(number, ..)| *number == got) else {
            continue;
        };
        // A reader that is gone is no reason to end before the signal that is to end it.
        let _ = say(OUT, format!("SIG{name}\n").as_bytes());
        if let Some(status) = status {
            return Err(AppletError::Status(*status));
        }
    }
}

/// Blocks the signals and stays. A blocked signal shows in `SigBlk` of `/proc/PID/status`.
fn ignore(args: &[String]) -> Result<String, AppletError> {
    let mut set = SignalSet::default();
    for name in args {
        set = set.with(signal(name)?);
    }
    block(set).map_err(AppletError::refused("block signals"))?;
    ready()?;
    forever()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_their_numbers() {
        for number in 1..=31 {
            let name = nix::sys::signal::Signal::try_from(number).unwrap();
            let name = name.as_str().trim_start_matches("SIG");
            assert_eq!(signal(name).ok(), u32::try_from(number).ok(), "{name}");
        }
    }
}
