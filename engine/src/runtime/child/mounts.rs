//! Mounts, devices and links, all placed through descriptors (CVE-2021-30465): between finding a
//! place and mounting on it, nothing is looked up again.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, fstatat, mkdirat, mknodat, umask};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::{Gid, Uid, fchdir, fchownat, symlinkat};

use super::fault::{At, Fault, Step};
use super::inside::{Inside, kind as file_kind, stat_of};
use super::setup::Gate;
use crate::runtime::plan::{
    BindPlan, CgroupContent, CgroupFolder, Create, DeviceBind, DevicePlan, InProc, Kind, LINKS,
    MountPlan, Plan,
};
use crate::sys::mount::{
    ATTR_NOATIME, ATTR_NODEV, ATTR_NODIRATIME, ATTR_NOEXEC, ATTR_NOSUID, ATTR_RDONLY,
    ATTR_STRICTATIME, Attributes, Depth, attach, clone_path, set_attributes,
};
use crate::sys::open::Links;

const NONE: Option<&str> = None;

/// Makes the spec's mounts in their order.
pub(super) fn mount_all(plan: &Plan, inside: &Inside, gate: &mut Gate<'_>) -> Result<(), Fault> {
    let before = umask(Mode::empty());
    for (index, item) in plan.mounts.iter().enumerate() {
        if matches!(
            item.kind,
            Kind::CgroupUnified { .. } | Kind::CgroupFolders { .. }
        ) {
            gate.pass()?;
        }
        let place = inside
            .find_or_make(&item.destination, item.links, item.create)
            .at_item(At::MountPlace, index)?;
        if item.in_proc == InProc::Refused
            && is_below_proc(place.as_fd(), item).at_item(At::MountPlace, index)?
        {
            return Err(Errno::EPERM).at_item(At::MountInProc, index);
        }
        mount_one(item, place.as_fd(), inside).at_item(At::Mount, index)?;
        for flags in &item.propagation {
            propagate(item, inside, *flags).at_item(At::MountFlags, index)?;
        }
    }
    umask(before);
    Ok(())
}

/// Whether a place lies in a procfs. The mount point /proc itself does not while nothing is there.
fn is_below_proc(place: BorrowedFd<'_>, item: &MountPlan) -> Result<bool, Errno> {
    // A second procfs over the first hides nothing that the container could not see.
    if matches!(&item.kind, Kind::Filesystem { kind, .. } if kind.as_c_str() == c"proc") {
        return Ok(false);
    }
    Ok(fstatfs(place)?.filesystem_type() == PROC_SUPER_MAGIC)
}

fn mount_one(item: &MountPlan, place: BorrowedFd<'_>, inside: &Inside) -> Result<(), Errno> {
    match &item.kind {
        Kind::Filesystem {
            kind,
            source,
            flags,
            data,
        } => mount_here(place, source, kind, *flags, data),
        Kind::Bind(bind) => self::bind(bind, place, || inside.find(&item.destination, item.links)),
        Kind::CgroupUnified { flags, fallback } => {
            match (
                mount_here(place, c"cgroup2", c"cgroup2", *flags, c""),
                fallback,
            ) {
                // EBUSY: the hierarchy has v1 controllers; EPERM: not visible as a whole here.
                (Err(Errno::EPERM | Errno::EBUSY), Some(bind)) => {
                    self::bind(bind, place, || inside.find(&item.destination, item.links))
                }
                (result, _) => result,
            }
        }
        Kind::CgroupFolders { flags, folders } => {
            mount_folders(item, place, inside, *flags, folders)
        }
    }
}

/// Mounts a file system on an open folder: "." cannot be exchanged for something else.
fn mount_here(
    place: BorrowedFd<'_>,
    source: &CStr,
    kind: &CStr,
    flags: MsFlags,
    data: &CStr,
) -> Result<(), Errno> {
    fchdir(place)?;
    mount(Some(source), c".", Some(kind), flags, Some(data))
}

fn propagate(item: &MountPlan, inside: &Inside, flags: MsFlags) -> Result<(), Errno> {
    let top = inside.find(&item.destination, item.links)?;
    on_path(top.as_fd(), |path| mount(NONE, path, NONE, flags, NONE))
}

/// Calls with a path for an open file. The host's procfs is still at /proc here.
fn on_path<T>(
    file: BorrowedFd<'_>,
    call: impl FnOnce(&CStr) -> Result<T, Errno>,
) -> Result<T, Errno> {
    use std::io::Write as _;
    let mut path = [0_u8; 32];
    // The last byte stays zero: the longest number needs 14 + 10 of 31.
    let room = path.get_mut(..31).unwrap_or_default();
    write!(&mut &mut *room, "/proc/self/fd/{}", file.as_raw_fd())
        .map_err(|_| Errno::ENAMETOOLONG)?;
    call(CStr::from_bytes_until_nul(&path).map_err(|_| Errno::EINVAL)?)
}

/// The classic way to bind one open file onto another, while the host's procfs is at /proc.
pub(super) fn bind_descriptor(source: BorrowedFd<'_>, place: BorrowedFd<'_>) -> Result<(), Errno> {
    on_path(source, |source| {
        on_path(place, |place| {
            mount(Some(source), place, NONE, MsFlags::MS_BIND, NONE)
        })
    })
}

/// Binds a file or folder of the host. `again` finds the place once more, on top of the mount.
fn bind(
    bind: &BindPlan,
    place: BorrowedFd<'_>,
    again: impl Fn() -> Result<OwnedFd, Errno>,
) -> Result<(), Errno> {
    if let Some(tree) = &bind.tree {
        return attach(tree.as_fd(), place);
    }
    match clone_path(&bind.source, bind.depth) {
        Ok(tree) => {
            match set_bind_attributes(bind, tree.as_fd()) {
                // Between 5.2 and 5.11 trees can be cloned but not yet changed.
                Err(Errno::ENOSYS) => {
                    attach(tree.as_fd(), place)?;
                    remount(bind, &again()?)
                }
                other => {
                    other?;
                    attach(tree.as_fd(), place)
                }
            }
        }
        Err(Errno::ENOSYS | Errno::EPERM) => {
            let depth = match bind.depth {
                Depth::Single => MsFlags::empty(),
                Depth::Recursive => MsFlags::MS_REC,
            };
            on_path(place, |path| {
                mount(
                    Some(bind.source.as_c_str()),
                    path,
                    NONE,
                    MsFlags::MS_BIND | depth,
                    NONE,
                )
            })?;
            remount(bind, &again()?)
        }
        Err(errno) => Err(errno),
    }
}

fn set_bind_attributes(bind: &BindPlan, tree: BorrowedFd<'_>) -> Result<(), Errno> {
    if bind.recursive != Attributes::default() {
        set_attributes(tree, bind.recursive, 0, Depth::Recursive)?;
    }
    if bind.attributes != Attributes::default() {
        set_attributes(tree, bind.attributes, 0, Depth::Single)?;
    }
    Ok(())
}

/// The classic way to change a bind mount's flags: all of them at once, so keep what is there.
fn remount(bind: &BindPlan, top: &OwnedFd) -> Result<(), Errno> {
    if bind.recursive != Attributes::default() {
        // No old call does this for a whole tree at once.
        return Err(Errno::ENOSYS);
    }
    if bind.attributes == Attributes::default() {
        return Ok(());
    }
    let kept = kept_flags(top.as_fd())? - flags_of(bind.attributes.clear);
    let flags = kept | flags_of(bind.attributes.set) | MsFlags::MS_BIND | MsFlags::MS_REMOUNT;
    on_path(top.as_fd(), |path| mount(NONE, path, NONE, flags, NONE))
}

/// `MOUNT_ATTR_*` bits as flags of mount(2).
fn flags_of(attributes: u64) -> MsFlags {
    const TABLE: [(u64, MsFlags); 7] = [
        (ATTR_RDONLY, MsFlags::MS_RDONLY),
        (ATTR_NOSUID, MsFlags::MS_NOSUID),
        (ATTR_NODEV, MsFlags::MS_NODEV),
        (ATTR_NOEXEC, MsFlags::MS_NOEXEC),
        (ATTR_NOATIME, MsFlags::MS_NOATIME),
        (ATTR_STRICTATIME, MsFlags::MS_STRICTATIME),
        (ATTR_NODIRATIME, MsFlags::MS_NODIRATIME),
    ];
    let set = TABLE.iter().filter(|(bit, _)| attributes & bit != 0);
    set.fold(MsFlags::empty(), |flags, (_, flag)| flags | *flag)
}

/// The flags of a mount that a remount has to repeat.
pub(super) fn kept_flags(top: BorrowedFd<'_>) -> Result<MsFlags, Errno> {
    use nix::sys::statvfs::FsFlags;
    const TABLE: [(FsFlags, MsFlags); 7] = [
        (FsFlags::ST_RDONLY, MsFlags::MS_RDONLY),
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    let flags = fstatfs(top)?.flags();
    let set = TABLE.iter().filter(|(bit, _)| flags.contains(*bit));
    Ok(set.fold(MsFlags::empty(), |kept, (_, flag)| kept | *flag))
}

/// v1: a tmpfs with a folder for each hierarchy.
fn mount_folders(
    item: &MountPlan,
    place: BorrowedFd<'_>,
    inside: &Inside,
    flags: MsFlags,
    folders: &[CgroupFolder],
) -> Result<(), Errno> {
    mount_here(
        place,
        c"cgroup",
        c"tmpfs",
        flags - MsFlags::MS_RDONLY,
        c"mode=755",
    )?;
    let top = inside.find(&item.destination, Links::Refused)?;
    for folder in folders {
        mkdirat(
            &top,
            folder.name.as_c_str(),
            Mode::from_bits_truncate(0o755),
        )?;
        // The tmpfs is ours alone: nothing in it can be a link.
        let open = || {
            Inside::new(top.try_clone().map_err(|_| Errno::EMFILE)?)
                .find(&folder.name, Links::Refused)
        };
        let place = open()?;
        match &folder.content {
            CgroupContent::Mount { data } => {
                mount_here(place.as_fd(), c"cgroup", c"cgroup", flags, data)?;
            }
            CgroupContent::Bind(bind) => self::bind(bind, place.as_fd(), open)?,
        }
        for link in &folder.links {
            symlinkat(folder.name.as_c_str(), &top, link.as_c_str())?;
        }
    }
    if flags.contains(MsFlags::MS_RDONLY) {
        fchdir(&top)?;
        mount(
            NONE,
            c".",
            NONE,
            flags | MsFlags::MS_BIND | MsFlags::MS_REMOUNT,
            NONE,
        )?;
    }
    Ok(())
}

/// Makes device nodes and /dev's links.
pub(super) fn make_devices(plan: &Plan, inside: &Inside) -> Result<(), Fault> {
    if plan.devices.is_empty() {
        return Ok(());
    }
    let before = umask(Mode::empty());
    let dev = inside
        .find_or_make(c"dev", Links::InRoot, Create::Folder)
        .at(At::Device)?;
    for (index, device) in plan.devices.iter().enumerate() {
        if let Some(host) = &device.bind {
            bind_device(host, inside).at_item(At::Device, index)?;
        } else if device.folder.as_c_str() == c"dev" {
            make_device(device, dev.as_fd()).at_item(At::Device, index)?;
        } else {
            let folder = inside
                .find_or_make(&device.folder, Links::InRoot, Create::Folder)
                .at_item(At::Device, index)?;
            make_device(device, folder.as_fd()).at_item(At::Device, index)?;
        }
    }
    umask(before);
    for (index, (name, target)) in LINKS.iter().enumerate() {
        match symlinkat(*target, &dev, *name) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno).at_item(At::Link, index),
        }
    }
    Ok(())
}

/// Binds a device of the host.
fn bind_device(device: &DeviceBind, inside: &Inside) -> Result<(), Errno> {
    let place = inside.find_or_make(&device.place, Links::InRoot, Create::File)?;
    bind(&device.plan, place.as_fd(), || {
        inside.find(&device.place, Links::InRoot)
    })
}

fn make_device(device: &DevicePlan, folder: BorrowedFd<'_>) -> Result<(), Errno> {
    let name = device.name.as_c_str();
    match mknodat(
        folder,
        name,
        device.kind,
        Mode::from_bits_truncate(device.mode),
        device.number,
    ) {
        Ok(()) => {}
        // What is there already must be that very device, not a file of the image that looks like it.
        Err(Errno::EEXIST | Errno::EROFS) => {
            let stat = fstatat(folder, name, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW)?;
            let same = file_kind(&stat) == device.kind
                && (device.kind == SFlag::S_IFIFO || stat.st_rdev == device.number);
            if !same {
                return Err(Errno::EEXIST);
            }
        }
        Err(errno) => return Err(errno),
    }
    if let Some((uid, gid)) = device.owner {
        let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
        fchownat(
            folder,
            name,
            Some(Uid::from_raw(uid)),
            Some(Gid::from_raw(gid)),
            flags,
        )?;
    }
    Ok(())
}

/// Makes the working folder, as a runtime must that an image gives one without having it.
pub(super) fn make_working_folder(plan: &Plan, inside: &Inside) -> Result<(), Fault> {
    match inside.find_or_make(&plan.process.cwd_inside, Links::InRoot, Create::Folder) {
        Ok(folder) => {
            let is_folder = stat_of(folder.as_fd()).map(|stat| file_kind(&stat) == SFlag::S_IFDIR);
            match is_folder {
                Ok(true) => Ok(()),
                Ok(false) => Err(Errno::ENOTDIR).at(At::MakeWorkingFolder),
                Err(errno) => Err(errno).at(At::MakeWorkingFolder),
            }
        }
        // Paths in /proc that exist for the process only: entering it decides.
        Err(Errno::EACCES | Errno::EROFS | Errno::EPERM) => Ok(()),
        Err(errno) => Err(errno).at(At::MakeWorkingFolder),
    }
}
