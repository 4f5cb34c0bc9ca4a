//! Hidden and read-only paths, after the root was changed.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, makedev};
use nix::unistd::fchdir;

use super::fault::{At, Fault, Step};
use super::inside::{Inside, kind, stat_of};
use super::mounts::kept_flags;
use crate::runtime::plan::Plan;
use crate::sys::mount::{ATTR_RDONLY, Attributes, Depth, attach, clone_fd, set_attributes};
use crate::sys::open::Links;

const NONE: Option<&str> = None;

/// Opens the container's /dev/null and makes sure that it is the null device: an image or another
/// container could have put a link there, and hiding would then open what it points to
/// (CVE-2025-31133).
pub(super) fn null_device(masked: &[CString], inside: &Inside) -> Result<Option<OwnedFd>, Fault> {
    if masked.is_empty() {
        return Ok(None);
    }
    let null = inside
        .find(c"dev/null", Links::Refused)
        .at(At::NullDevice)?;
    let stat = stat_of(null.as_fd()).at(At::NullDevice)?;
    if kind(&stat) != SFlag::S_IFCHR || stat.st_rdev != makedev(1, 3) {
        return Err(Errno::ENODEV).at(At::NullDevice);
    }
    Ok(Some(null))
}

/// Hides the masked paths and makes the read-only ones so.
pub(super) fn protect(plan: &Plan, inside: &Inside, null: Option<OwnedFd>) -> Result<(), Fault> {
    let descriptors = Descriptors {
        proc: plan.proc.as_fd(),
    };
    if let Some(null) = null {
        let mut empty = None;
        for (index, path) in plan.masked.iter().enumerate() {
            mask(path, inside, null.as_fd(), &mut empty, &descriptors).at_item(At::Mask, index)?;
        }
    }
    for (index, path) in plan.readonly.iter().enumerate() {
        make_readonly(path, inside, &descriptors).at_item(At::Readonly, index)?;
    }
    // The classic calls below change the folder.
    fchdir(inside.root()).at(At::Readonly)
}

/// `None` for what is not there: nothing to protect.
fn place(path: &CString, inside: &Inside) -> Result<Option<OwnedFd>, Errno> {
    match inside.find(path, Links::InRoot) {
        Ok(place) => Ok(Some(place)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A file gets /dev/null over it, a folder an empty read-only tmpfs (one for all of them).
fn mask(
    path: &CString,
    inside: &Inside,
    null: BorrowedFd<'_>,
    empty: &mut Option<OwnedFd>,
    descriptors: &Descriptors<'_>,
) -> Result<(), Errno> {
    let Some(place) = place(path, inside)? else {
        return Ok(());
    };
    if kind(&stat_of(place.as_fd())?) != SFlag::S_IFDIR {
        return bind_open(null, place.as_fd(), Depth::Single, descriptors);
    }
    if let Some(empty) = empty {
        match bind_open(empty.as_fd(), place.as_fd(), Depth::Single, descriptors) {
            Err(Errno::EINVAL) => {}
            other => return other,
        }
    }
    fchdir(&place)?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(
        Some(c"tmpfs"),
        c".",
        Some(c"tmpfs"),
        flags,
        Some(c"nr_blocks=1,nr_inodes=1"),
    )?;
    *empty = Some(inside.find(path, Links::InRoot)?);
    Ok(())
}

fn make_readonly(
    path: &CString,
    inside: &Inside,
    descriptors: &Descriptors<'_>,
) -> Result<(), Errno> {
    let Some(place) = place(path, inside)? else {
        return Ok(());
    };
    let readonly = Attributes {
        set: ATTR_RDONLY,
        clear: 0,
    };
    match clone_fd(place.as_fd(), Depth::Recursive) {
        Ok(tree) => match set_attributes(tree.as_fd(), readonly, 0, Depth::Recursive) {
            Ok(()) => return attach(tree.as_fd(), place.as_fd()),
            Err(Errno::ENOSYS | Errno::EPERM) => {}
            Err(errno) => return Err(errno),
        },
        Err(Errno::ENOSYS | Errno::EPERM) => {}
        Err(errno) => return Err(errno),
    }
    bind_open(place.as_fd(), place.as_fd(), Depth::Recursive, descriptors)?;
    let top = inside.find(path, Links::InRoot)?;
    let flags =
        kept_flags(top.as_fd())? | MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    descriptors.enter()?;
    let top = Number::of(top.as_fd())?;
    mount(NONE, top.as_c_str()?, NONE, flags, NONE)
}

/// Binds an open file onto another.
fn bind_open(
    source: BorrowedFd<'_>,
    place: BorrowedFd<'_>,
    depth: Depth,
    descriptors: &Descriptors<'_>,
) -> Result<(), Errno> {
    match clone_fd(source, depth) {
        Ok(tree) => return attach(tree.as_fd(), place),
        Err(Errno::ENOSYS | Errno::EPERM) => {}
        Err(errno) => return Err(errno),
    }
    descriptors.enter()?;
    let source = Number::of(source)?;
    let place = Number::of(place)?;
    let flags = MsFlags::MS_BIND
        | if depth == Depth::Recursive {
            MsFlags::MS_REC
        } else {
            MsFlags::empty()
        };
    mount(
        Some(source.as_c_str()?),
        place.as_c_str()?,
        NONE,
        flags,
        NONE,
    )
}

/// The host's `/proc/self/fd`, for calls that only take paths: entered, a descriptor's number is
/// its path. The container's own /proc may be anything.
struct Descriptors<'a> {
    proc: BorrowedFd<'a>,
}

impl Descriptors<'_> {
    fn enter(&self) -> Result<(), Errno> {
        let folder = nix::fcntl::openat(
            self.proc,
            c"self/fd",
            OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        fchdir(&folder)
    }
}

/// A descriptor's number as text.
struct Number([u8; 12]);

impl Number {
    fn of(file: BorrowedFd<'_>) -> Result<Self, Errno> {
        use std::io::Write as _;
        let mut text = [0_u8; 12];
        let room = text.get_mut(..11).unwrap_or_default();
        write!(&mut &mut *room, "{}", file.as_raw_fd()).map_err(|_| Errno::ENAMETOOLONG)?;
        Ok(Self(text))
    }

    fn as_c_str(&self) -> Result<&std::ffi::CStr, Errno> {
        std::ffi::CStr::from_bytes_until_nul(&self.0).map_err(|_| Errno::EINVAL)
    }
}
