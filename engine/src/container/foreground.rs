//! Waiting for a process that is no container of ours: signals are passed on to it, and a terminal
//! of its is shown on ours.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use super::attach::clients::Clients;
use super::logs::Stream;
use super::stdio::RawTerminal;
use super::supervise::{self, Input, Output, PassOn, Source, Supervision};
use crate::runtime::ExitStatus;

/// Holds back all signals to this process, so that none is lost between a launch and the wait.
pub(crate) fn hold_signals() {
    supervise::hold_signals();
}

/// Waits for a child of this process. Signals are held back ([`hold_signals`]).
pub(crate) fn wait(pid: u32, console: Option<&OwnedFd>) -> io::Result<ExitStatus> {
    let Some(console) = console else {
        return supervise::wait(pid);
    };
    let raw = RawTerminal::enter()?;
    let supervision = Supervision {
        pid,
        outputs: vec![Output::new(console.as_fd(), Stream::Stdout)],
        input: Some(Input::new(console.try_clone()?, Source::Ours)),
        log: None,
        pass_on: PassOn::Yes,
        console: Some(console.as_fd()),
        clients: Clients::default(),
        health: None,
    };
    let ended = supervision.wait();
    drop(raw);
    ended.map(|(status, _)| status)
}
