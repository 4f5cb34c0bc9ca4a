//! A small init: starts the program as its child, passes signals on, reaps orphans, and ends with
//! the program's status. For programs that were not written to be pid 1.

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{Pid, setpgid, tcsetpgrp};

use super::fault::{At, Fault};
use super::finish;
use super::setup::Channel;
use crate::runtime::Console;
use crate::runtime::plan::ProcessPlan;
use crate::sys::clone::{Request, Side, clone, exit_now};
use crate::sys::{fds, signals};

/// Becomes the init; returns only when it could not.
pub(super) fn run(process: &ProcessPlan, console: Console, channel: &Channel) -> Fault {
    // A signal that comes before the child is there waits.
    signals::block_all();
    match clone(Request::default()) {
        Err(errno) => Fault {
            at: At::Fork,
            index: 0,
            errno,
        },
        Ok(Side::Child) => {
            let own_group = setpgid(Pid::from_raw(0), Pid::from_raw(0));
            if own_group.is_ok() && console != Console::None {
                // SIGTTOU is still blocked, so this does not stop us. Without a terminal: ENOTTY.
                let _front = tcsetpgrp(fds::standard_input(), nix::unistd::getpid());
            }
            signals::reset();
            finish::become_program(process)
        }
        Ok(Side::Parent { pid, .. }) => {
            // The end of the channel tells the engine that the program runs: only the child's copy
            // may be left. Everything else is closed already.
            fds::close_forgotten(channel.socket());
            attend(i32::try_from(pid).unwrap_or(-1))
        }
    }
}

/// Signals about the init itself, which are not the program's business.
const OWN: [i32; 6] = [
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
];

/// pid 1 of the container from now on.
fn attend(program: i32) -> ! {
    loop {
        match signals::wait_any() {
            Ok(libc::SIGCHLD) => {
                if let Some(status) = reap_all(program) {
                    exit_now(code(status));
                }
            }
            Ok(signal) if !OWN.contains(&signal) => {
                // A program that has just ended is reaped with the next SIGCHLD.
                let _sent = signals::send(program, signal);
            }
            // Or the wait was interrupted: wait again.
            Ok(_) | Err(_) => {}
        }
    }
}

/// Reaps all that have ended; the program's status, if it is among them.
fn reap_all(program: i32) -> Option<i32> {
    let mut status = None;
    loop {
        match signals::reap_now(-1) {
            Ok(Some(ended)) if ended.pid == program => status = Some(ended.status),
            Ok(Some(_)) | Err(Errno::EINTR) => {}
            Ok(None) | Err(_) => return status,
        }
    }
}

fn code(status: i32) -> u8 {
    let code = if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        128 + libc::WTERMSIG(status)
    };
    u8::try_from(code).unwrap_or(u8::MAX)
}
