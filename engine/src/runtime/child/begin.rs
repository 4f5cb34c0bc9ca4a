//! Waiting to begin: for the hooks of the bundle, for being recorded, for the call that starts the
//! program.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::socket::{SockFlag, accept4};

use super::fault::{At, Fault, Message, Step};
use super::finish;
use super::setup::Channel;
use crate::runtime::hooks::{HookPlan, StateText, own_pid};
use crate::runtime::plan::Plan;
use crate::sys::fds;

/// Has the parent run its hooks, then runs those in the container's namespaces. Its mounts are
/// made, and the host's root is still the root.
pub(super) fn create_hooks(plan: &Plan, channel: &Channel) -> Result<(), Fault> {
    if plan.hooks.in_runtime() {
        channel.tell(Message::Hooks);
        channel.wait()?;
    }
    let hooks = &plan.hooks.create_container;
    run(
        hooks,
        &plan.hooks.creating,
        At::CreateContainerHook,
        plan,
        channel,
    )
}

/// Waits until the parent has recorded us, and no longer ends with it from then on.
pub(super) fn when_recorded(channel: &Channel) -> Result<(), Fault> {
    channel.tell(Message::Made);
    channel.wait()?;
    prctl::set_pdeathsig(None).at(At::Session)
}

/// The same, and then until somebody calls: the channel to the caller. A caller that calls and
/// says nothing has been killed; the next one will do.
pub(super) fn when_called(channel: &Channel, listener: BorrowedFd<'_>) -> Result<Channel, Fault> {
    when_recorded(channel)?;
    channel.hang_up();
    loop {
        match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            Ok(socket) => {
                let caller = Channel::new(fds::received(socket));
                if caller.wait().is_ok() {
                    return Ok(caller);
                }
            }
            Err(Errno::EINTR | Errno::ECONNABORTED) => {}
            Err(errno) => return Err(errno).at(At::Call),
        }
    }
}

/// Runs the hooks in the container, which must not be the engine's own binary (CVE-2019-5736).
pub(super) fn start_hooks(plan: &Plan, channel: &Channel) -> Result<(), Fault> {
    let hooks = &plan.hooks.start_container;
    for hook in hooks {
        finish::refuse_program(&hook.path, plan.process.engine)?;
    }
    run(
        hooks,
        &plan.hooks.created,
        At::StartContainerHook,
        plan,
        channel,
    )
}

fn run(
    hooks: &[HookPlan],
    state: &StateText,
    at: At,
    plan: &Plan,
    channel: &Channel,
) -> Result<(), Fault> {
    if hooks.is_empty() {
        return Ok(());
    }
    let mut buffer = [0; 16];
    let pid = own_pid(plan.proc.as_fd(), &mut buffer).at(at)?;
    for (index, hook) in hooks.iter().enumerate() {
        if let Err(end) = hook.run(&state.with(pid)) {
            channel.tell(Message::HookEnd(end));
            return Err(Errno::ECANCELED).at_item(at, index);
        }
    }
    Ok(())
}
