//! The container's terminal: made in its own devpts, so that it has a name there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat, makedev};
use nix::sys::statfs::{FsType, fstatfs};
use nix::unistd::{Gid, Uid, fchown};

use super::fault::{At, Fault, Message, Step};
use super::inside::{Inside, kind};
use super::setup::Channel;
use crate::runtime::plan::{Create, Plan};
use crate::sys::mount::{Depth, attach, clone_fd};
use crate::sys::open::Links;
use crate::sys::{fds, terminal};

const DEVPTS_SUPER_MAGIC: FsType = FsType(0x1cd1);

/// Makes a pseudo terminal, sends its master to the parent, and binds it to /dev/console.
pub(super) fn open(
    inside: &Inside,
    size: Option<(u16, u16)>,
    plan: &Plan,
    channel: &Channel,
) -> Result<OwnedFd, Fault> {
    let folder = inside.find(c"dev/pts", Links::Refused).at(At::Console)?;
    let (master, peer) = pair(folder.as_fd()).at(At::Console)?;
    if let Some((rows, columns)) = size {
        terminal::resize(master.as_fd(), rows, columns).at(At::Console)?;
    }
    // The program's user must be able to open its own terminal again; the group stays devpts's.
    fchown(&peer, Some(Uid::from_raw(plan.process.uid)), None::<Gid>).at(At::Console)?;
    bind_console(inside, peer.as_fd()).at(At::Console)?;
    channel
        .hand_over(Message::Console, master.as_fd())
        .at(At::Console)?;
    Ok(peer)
}

/// For `exec`, in the container's mounts already.
pub(super) fn open_joined(
    root: BorrowedFd<'_>,
    size: Option<(u16, u16)>,
    uid: u32,
    channel: &Channel,
) -> Result<OwnedFd, Fault> {
    let folder = openat(
        root,
        c"dev/pts",
        OFlag::O_PATH | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .at(At::Console)?;
    let (master, peer) = pair(folder.as_fd()).at(At::Console)?;
    if let Some((rows, columns)) = size {
        terminal::resize(master.as_fd(), rows, columns).at(At::Console)?;
    }
    fchown(&peer, Some(Uid::from_raw(uid)), None::<Gid>).at(At::Console)?;
    channel
        .hand_over(Message::Console, master.as_fd())
        .at(At::Console)?;
    Ok(peer)
}

/// Both sides of a new terminal of this devpts, which must be one (CVE-2025-52565).
fn pair(folder: BorrowedFd<'_>) -> Result<(OwnedFd, OwnedFd), Errno> {
    if fstatfs(folder)?.filesystem_type() != DEVPTS_SUPER_MAGIC {
        return Err(Errno::ENOTTY);
    }
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let master = openat(folder, c"ptmx", flags, Mode::empty())?;
    let stat = fstat(&master)?;
    if kind(&stat) != SFlag::S_IFCHR || stat.st_rdev != makedev(5, 2) {
        return Err(Errno::ENOTTY);
    }
    terminal::unlock(master.as_fd())?;
    let peer = match terminal::open_peer(master.as_fd()) {
        Err(Errno::ENOTTY | Errno::EINVAL) => open_by_number(folder, master.as_fd())?,
        other => other?,
    };
    Ok((master, peer))
}

/// Before 4.13: by its name in the devpts that was just checked.
fn open_by_number(folder: BorrowedFd<'_>, master: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    use std::io::Write as _;
    let mut name = [0_u8; 12];
    let room = name.get_mut(..11).unwrap_or_default();
    write!(&mut &mut *room, "{}", terminal::number(master)?).map_err(|_| Errno::ENAMETOOLONG)?;
    let name = std::ffi::CStr::from_bytes_until_nul(&name).map_err(|_| Errno::EINVAL)?;
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(folder, name, flags, Mode::empty())
}

fn bind_console(inside: &Inside, peer: BorrowedFd<'_>) -> Result<(), Errno> {
    let place = inside.find_or_make(c"dev/console", Links::Refused, Create::File)?;
    match clone_fd(peer, Depth::Single) {
        Ok(tree) => attach(tree.as_fd(), place.as_fd()),
        Err(Errno::ENOSYS | Errno::EPERM) => super::mounts::bind_descriptor(peer, place.as_fd()),
        Err(errno) => Err(errno),
    }
}

/// Makes it the controlling terminal and the three streams.
pub(super) fn control(peer: BorrowedFd<'_>) -> Result<(), Fault> {
    terminal::control(peer).at(At::Console)?;
    for number in 0..3 {
        fds::become_stream(peer, number).at(At::Streams)?;
    }
    Ok(())
}
