//! The root: cutting the mount tree off from the host's, and making the rootfs the root.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, chroot, fchdir, pivot_root};

use super::fault::{At, Fault, Step};
use super::inside::Inside;
use super::mounts::kept_flags;
use crate::runtime::RootChange;
use crate::runtime::plan::RootPlan;
use crate::sys::mount::{ATTR_RDONLY, Attributes, Depth, attach, set_attributes};

const NONE: Option<&str> = None;

/// Cuts the tree off and turns the rootfs into a mount of its own, as `pivot_root(2)` demands.
pub(super) fn enter(root: &RootPlan) -> Result<Inside, Fault> {
    mount(NONE, c"/", NONE, root.cut, NONE).at(At::Propagation)?;
    let path = root.path.as_c_str();
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    if let Some(detached) = &root.mount {
        // A mount of its own already, which no other namespace has seen.
        let point = open(path, flags, Mode::empty()).at(At::Rootfs)?;
        attach(detached.as_fd(), point.as_fd()).at(At::Rootfs)?;
    } else {
        mount(
            Some(path),
            path,
            NONE,
            MsFlags::MS_BIND | MsFlags::MS_REC,
            NONE,
        )
        .at(At::Rootfs)?;
    }
    let opened = open(path, flags, Mode::empty()).at(At::Rootfs)?;
    if root.cut.contains(MsFlags::MS_SLAVE) {
        // Mounts in the container must neither come from nor go to the rootfs's own peers.
        fchdir(&opened).at(At::Rootfs)?;
        mount(NONE, c".", NONE, MsFlags::MS_PRIVATE, NONE).at(At::Propagation)?;
    }
    Ok(Inside::new(opened))
}

/// Makes the rootfs the root of this mount namespace and detaches the old one.
pub(super) fn pivot(root: &RootPlan, inside: &Inside) -> Result<(), Fault> {
    fchdir(inside.root()).at(At::Pivot)?;
    // Stacking old on new needs no folder to put the old one in: pivot_root(2), NOTES.
    let pivoted = match root.change {
        RootChange::Pivot => pivot_root(c".", c"."),
        RootChange::Move => Err(Errno::EINVAL),
    };
    match pivoted {
        Ok(()) => umount2(c".", MntFlags::MNT_DETACH).at(At::Pivot)?,
        // Asked for, or the root is an initramfs, which cannot be pivoted away.
        Err(Errno::EINVAL) => move_root(root)?,
        Err(errno) => return Err(errno).at(At::Pivot),
    }
    chdir(c"/").at(At::Pivot)?;
    if let Some(propagation) = root.propagation {
        mount(NONE, c"/", NONE, propagation, NONE).at(At::Propagation)?;
    }
    if root.readonly {
        readonly_root().at(At::RootReadonly)?;
    }
    Ok(())
}

fn move_root(root: &RootPlan) -> Result<(), Fault> {
    // What stays mounted below the initramfs would remain reachable by whoever escapes a chroot.
    for leftover in &root.leftovers {
        // A mount in use or gone already is no obstacle; detaching the others matters.
        let _gone = umount2(leftover.as_c_str(), MntFlags::MNT_DETACH);
    }
    mount(Some(c"."), c"/", NONE, MsFlags::MS_MOVE, NONE).at(At::Pivot)?;
    chroot(c".").at(At::Pivot)
}

fn readonly_root() -> Result<(), Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = open(c"/", flags, Mode::empty())?;
    let readonly = Attributes {
        set: ATTR_RDONLY,
        clear: 0,
    };
    match set_attributes(root.as_fd(), readonly, 0, Depth::Single) {
        Err(Errno::ENOSYS | Errno::EPERM) => {
            let flags = MsFlags::MS_BIND
                | MsFlags::MS_REMOUNT
                | MsFlags::MS_RDONLY
                | kept_flags(root.as_fd())?;
            mount(NONE, c"/", NONE, flags, NONE)
        }
        other => other,
    }
}
