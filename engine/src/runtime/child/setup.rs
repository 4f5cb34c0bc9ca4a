//! The order of the child's work.

use std::ffi::CStr;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::libc;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::sys::stat::Mode;
use nix::unistd::{read, write};

use super::fault::{At, Fault, Message, Step};
use super::{begin, console, finish, init, mounts, paths, rootfs};
use crate::runtime::plan::{Begin, NEW_TIME, Plan};
use crate::runtime::{Console, Init, Keyring, Stdio};
use crate::sys::{clone, credentials, fds, network};

/// The child's end of the socket to its parent.
#[derive(Debug)]
pub(in crate::runtime) struct Channel {
    socket: OwnedFd,
}

impl Channel {
    pub(in crate::runtime) fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    pub(in crate::runtime) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Waits for the parent's word; a parent that is gone ends the set-up.
    pub(in crate::runtime) fn wait(&self) -> Result<(), Fault> {
        let mut word = [0];
        loop {
            match read(&self.socket, &mut word) {
                Ok(1) => return Ok(()),
                Ok(_) => return Err(Errno::ECONNRESET).at(At::Parent),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).at(At::Parent),
            }
        }
    }

    /// Tells the parent, which waits for the end of the channel, that all is said.
    pub(super) fn hang_up(&self) {
        use nix::sys::socket::{Shutdown, shutdown};
        // A parent that is gone waits for nothing.
        let _told = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }

    /// A parent that is gone needs no message.
    pub(super) fn tell(&self, message: Message) {
        let _told = write(&self.socket, &message.encode());
    }

    /// Gives the parent a descriptor.
    pub(super) fn hand_over(&self, message: Message, file: BorrowedFd<'_>) -> Result<(), Errno> {
        let packet = message.encode();
        let rights = [file.as_raw_fd()];
        sendmsg::<()>(
            self.socket.as_raw_fd(),
            &[IoSlice::new(&packet)],
            &[ControlMessage::ScmRights(&rights)],
            MsgFlags::empty(),
            None,
        )
        .map(drop)
    }

    /// Tells why it failed, and ends.
    pub(in crate::runtime) fn fail(&self, fault: Fault) -> ! {
        self.tell(Message::Fault(fault));
        clone::exit_now(125)
    }
}

/// The child of a launch, from the clone to the execve.
pub(in crate::runtime) fn run(plan: &Plan, stdio: &Stdio, channel: Channel) -> ! {
    let made = prepare(plan, stdio, &channel);
    let begun = made.and_then(|()| match &plan.begin {
        Begin::AtOnce => Ok(None),
        Begin::Recorded => begin::when_recorded(&channel).map(|()| None),
        Begin::Called(listener) => begin::when_called(&channel, listener.as_fd()).map(Some),
    });
    let channel = match begun {
        Ok(None) => channel,
        // Dropping the first tells the creator that we can do without it.
        Ok(Some(caller)) => caller,
        Err(fault) => channel.fail(fault),
    };
    // Confined when all descriptors of the set-up have been dropped: it closes them for good.
    let ready = begin::start_hooks(plan, &channel)
        .and_then(|()| finish::confine(&plan.process, plan.proc.as_fd(), &channel));
    let fault = match ready {
        Ok(()) => match plan.init {
            Init::No => finish::become_program(&plan.process),
            Init::Yes => init::run(&plan.process, plan.console, &channel),
        },
        Err(fault) => fault,
    };
    channel.fail(fault)
}

fn prepare(plan: &Plan, stdio: &Stdio, channel: &Channel) -> Result<(), Fault> {
    // Never left behind half made when the engine is killed.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).at(At::Session)?;
    if plan.namespaces.has_users() {
        // Nobody of it, we included, has rights before its users are mapped.
        channel.wait()?;
    }
    // Nobody in a namespace that we share or enter may look into our memory or at our binary.
    nix::sys::prctl::set_dumpable(false).at(At::Session)?;
    join_and_unshare(plan)?;
    let mut gate = Gate {
        channel,
        cgroup_namespace: plan.namespaces.cgroup,
        passed: false,
    };
    let inside = rootfs::enter(&plan.root)?;
    if plan.namespaces.has_users() {
        // The host's user opened the rootfs, whose folders above may be closed to the container's.
        become_root()?;
    }
    mounts::mount_all(plan, &inside, &mut gate)?;
    // The devices cgroup must not refuse the nodes: its list is complete when the gate opens.
    gate.pass()?;
    mounts::make_devices(plan, &inside)?;
    mounts::make_working_folder(plan, &inside)?;
    begin::create_hooks(plan, channel)?;
    let terminal = match plan.console {
        Console::None => None,
        Console::Pty { size } => Some(console::open(&inside, size, plan, channel)?),
    };
    let null = paths::null_device(&plan.masked, &inside)?;
    rootfs::pivot(&plan.root, &inside)?;
    paths::protect(plan, &inside, null)?;
    names_and_parameters(plan)?;
    nix::unistd::setsid()
        .map(drop)
        .or_else(already_leader)
        .at(At::Session)?;
    if plan.keyring == Keyring::New {
        credentials::new_session_keyring()
            .or_else(no_keyrings)
            .at(At::Session)?;
    }
    match (&terminal, stdio) {
        (Some(terminal), _) => console::control(terminal.as_fd())?,
        (None, stdio) => streams(stdio)?,
    }
    Ok(())
}

/// Becomes the root of a user namespace, so that what is made is owned by it.
pub(super) fn become_root() -> Result<(), Fault> {
    credentials::set_group(0).at(At::NamespaceRoot)?;
    credentials::set_user(0).at(At::NamespaceRoot)?;
    // Both are lost with the user id.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).at(At::Session)?;
    nix::sys::prctl::set_dumpable(false).at(At::Session)
}

/// A time namespace that we are in before our program is executed: before 6.3, only a fork would
/// bring one in.
fn make_clocks(offsets: Option<&CStr>, proc: BorrowedFd<'_>) -> Result<(), Errno> {
    unshare(NEW_TIME)?;
    if let Some(offsets) = offsets {
        fds::write_once(proc, c"self/timens_offsets", offsets.to_bytes())?;
    }
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let made = openat(proc, c"self/ns/time_for_children", flags, Mode::empty())?;
    setns(made, NEW_TIME)
}

fn already_leader(errno: Errno) -> Result<(), Errno> {
    if errno == Errno::EPERM {
        Ok(())
    } else {
        Err(errno)
    }
}

fn no_keyrings(errno: Errno) -> Result<(), Errno> {
    // Built without CONFIG_KEYS, or forbidden by the filter of an engine around this one.
    if matches!(errno, Errno::ENOSYS | Errno::EPERM) {
        Ok(())
    } else {
        Err(errno)
    }
}

fn join_and_unshare(plan: &Plan) -> Result<(), Fault> {
    for (index, join) in plan.namespaces.joined.iter().enumerate() {
        setns(&join.file, join.kind).at_item(At::Join, index)?;
    }
    let new = plan.namespaces.unshared;
    if !new.is_empty() {
        unshare(new).at(At::Namespaces)?;
    }
    if plan.namespaces.time {
        make_clocks(plan.clocks.as_deref(), plan.proc.as_fd()).at(At::Clocks)?;
    }
    if new.contains(CloneFlags::CLONE_NEWNET) {
        network::loopback_up().at(At::Loopback)?;
    }
    Ok(())
}

/// The point from which on the child is in its cgroup.
#[derive(Debug)]
pub(super) struct Gate<'a> {
    channel: &'a Channel,
    cgroup_namespace: CloneFlags,
    passed: bool,
}

impl Gate<'_> {
    /// Waits, once, for the parent to have moved us, and roots the cgroup namespace there.
    pub(super) fn pass(&mut self) -> Result<(), Fault> {
        if self.passed {
            return Ok(());
        }
        self.channel.wait()?;
        self.passed = true;
        if self.cgroup_namespace.is_empty() {
            return Ok(());
        }
        unshare(self.cgroup_namespace).at(At::CgroupNamespace)
    }
}

fn names_and_parameters(plan: &Plan) -> Result<(), Fault> {
    if let Some(name) = &plan.hostname {
        nix::unistd::sethostname(name).at(At::Hostname)?;
    }
    if let Some(name) = &plan.domainname {
        credentials::set_domain_name(name.as_bytes()).at(At::Domainname)?;
    }
    for (index, sysctl) in plan.sysctls.iter().enumerate() {
        fds::write_once(plan.proc.as_fd(), &sysctl.path, sysctl.value.as_bytes())
            .at_item(At::Sysctl, index)?;
    }
    Ok(())
}

/// Makes the given descriptors 0, 1 and 2.
pub(super) fn streams(stdio: &Stdio) -> Result<(), Fault> {
    let Stdio::Fds {
        stdin,
        stdout,
        stderr,
    } = stdio
    else {
        return Ok(());
    };
    // None of the three is itself below 3 (the launch saw to that), so none is overwritten.
    for (stream, number) in [(stdin, 0), (stdout, 1), (stderr, 2)] {
        if stream.as_raw_fd() <= libc::STDERR_FILENO {
            return Err(Errno::EBADF).at(At::Streams);
        }
        fds::become_stream(stream.as_fd(), number).at(At::Streams)?;
    }
    Ok(())
}
