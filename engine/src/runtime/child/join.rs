//! The child that joins a running container: into its namespaces, then a fork, as a pid namespace
//! only takes in children; the grandchild becomes the program.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{chdir, chroot, fchdir, setsid};

use super::fault::{At, Fault, Message, Step};
use super::setup::{Channel, become_root, streams};
use super::{console, finish};
use crate::runtime::exec::JoinPlan;
use crate::runtime::{Console, Stdio};
use crate::sys::clone::{Parent, Request, Side, clone, exit_now};
use crate::sys::{credentials, fds};

/// Joins, forks, and becomes the program.
pub(in crate::runtime) fn join(plan: &JoinPlan, stdio: &Stdio, channel: &Channel) -> ! {
    let fault = match enter(plan, channel) {
        // The grandchild is the engine's own child, so that the engine can wait for it.
        Ok(()) => match clone(Request {
            parent: Parent::Grandparent,
            ..Request::default()
        }) {
            Ok(Side::Child) => become_program(plan, stdio, channel),
            Ok(Side::Parent { pid, .. }) => {
                channel.tell(Message::Forked(pid));
                exit_now(0)
            }
            Err(errno) => Fault {
                at: At::Fork,
                index: 0,
                errno,
            },
        },
        Err(fault) => fault,
    };
    channel.fail(fault)
}

fn enter(plan: &JoinPlan, channel: &Channel) -> Result<(), Fault> {
    prctl::set_pdeathsig(Signal::SIGKILL).at(At::Session)?;
    // From the moment we are in its pid namespace, the container sees us in its /proc: our memory
    // and our binary must be closed to it (CVE-2016-9962, CVE-2019-5736).
    prctl::set_dumpable(false).at(At::Session)?;
    channel.wait()?;
    if let Some(score) = &plan.oom_score {
        fds::write_once(plan.proc.as_fd(), c"self/oom_score_adj", score.as_bytes())
            .at(At::OomScore)?;
    }
    let is_user = |kind: CloneFlags| kind == CloneFlags::CLONE_NEWUSER;
    let mut user = None;
    for (index, (kind, file)) in plan.namespaces.iter().enumerate() {
        if is_user(*kind) {
            user = Some((index, file));
        } else {
            setns(file, *kind).at_item(At::Join, index)?;
        }
    }
    // Entering a mount namespace leads to its root, which after a move of the root (initramfs) is
    // not the container's.
    if plan
        .namespaces
        .iter()
        .any(|(kind, _)| *kind == CloneFlags::CLONE_NEWNS)
    {
        fchdir(&plan.root).at(At::Join)?;
        chroot(c".").at(At::Join)?;
        chdir(c"/").at(At::Join)?;
    }
    if let Some((index, file)) = user {
        setns(file, CloneFlags::CLONE_NEWUSER).at_item(At::Join, index)?;
        become_root()?;
    }
    Ok(())
}

fn become_program(plan: &JoinPlan, stdio: &Stdio, channel: &Channel) -> Fault {
    let ready = prepare(plan, stdio, channel)
        .and_then(|()| finish::confine(&plan.process, plan.proc.as_fd(), channel));
    match ready {
        Ok(()) => finish::become_program(&plan.process),
        Err(fault) => fault,
    }
}

fn prepare(plan: &JoinPlan, stdio: &Stdio, channel: &Channel) -> Result<(), Fault> {
    prctl::set_pdeathsig(Signal::SIGKILL).at(At::Session)?;
    setsid().map(drop).at(At::Session)?;
    match credentials::new_session_keyring() {
        Ok(()) | Err(Errno::ENOSYS | Errno::EPERM) => {}
        Err(errno) => return Err(errno).at(At::Session),
    }
    match plan.console {
        Console::None => streams(stdio)?,
        Console::Pty { size } => {
            let peer = console::open_joined(plan.root.as_fd(), size, plan.process.uid, channel)?;
            console::control(peer.as_fd())?;
        }
    }
    Ok(())
}
