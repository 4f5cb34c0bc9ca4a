//! The unified hierarchy's way of handing controllers down: every group above must enable them
//! for its children, and (but for the root) may then hold no process itself.

use std::fs;
use std::path::Path;

use nix::libc::{EACCES, EINVAL, ENOENT, EOPNOTSUPP, EPERM};
use nix::unistd::{AccessFlags, access};

use super::{CgroupPath, Error, Hierarchies, tree};

/// Where processes go that are in the way: a leaf beside the containers' groups.
const LEAF: &str = "keel-leaf";

/// Makes the group's folder and those above, enabling every controller that can be.
pub(super) fn make(root: &Path, path: &CgroupPath) -> Result<tree::Made, Error> {
    let mut folder = root.to_owned();
    let mut made = tree::Made::Old;
    for name in path.components() {
        enable(&folder)?;
        folder.push(name);
        made = tree::make(&folder)?;
    }
    Ok(made)
}

/// Enables for the children of a group what it has itself.
fn enable(folder: &Path) -> Result<(), Error> {
    let have = tree::read(folder, "cgroup.controllers")?;
    let enabled = tree::read(folder, "cgroup.subtree_control")?;
    for controller in have.split_whitespace() {
        if enabled.split_whitespace().any(|other| other == controller) {
            continue;
        }
        enable_one(folder, controller)?;
    }
    Ok(())
}

fn enable_one(folder: &Path, controller: &str) -> Result<(), Error> {
    let value = format!("+{controller}");
    match tree::write(folder, "cgroup.subtree_control", &value) {
        Err(Error::Io { source, .. }) if source.raw_os_error() == Some(nix::libc::EBUSY) => {
            make_way(folder)?;
            tree::write(folder, "cgroup.subtree_control", &value)
        }
        // Not possible here (a threaded domain, real-time tasks with `cpu`, a group above the one
        // that was delegated to this user): a limit that needs it is refused when it is set.
        Err(Error::Io { source, .. })
            if [EINVAL, EOPNOTSUPP, ENOENT, EACCES, EPERM]
                .contains(&source.raw_os_error().unwrap_or_default()) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Moves the processes of a group to a leaf of it. They stay under the same limits: this is what
/// an engine inside a container finds, where its own shell sits in the group it was given.
fn make_way(folder: &Path) -> Result<(), Error> {
    let leaf = folder.join(LEAF);
    tree::make(&leaf)?;
    for pid in tree::read(folder, "cgroup.procs")?.lines() {
        match tree::write(&leaf, "cgroup.procs", pid) {
            // It has ended meanwhile.
            Err(Error::Io { source, .. }) if source.raw_os_error() == Some(nix::libc::ESRCH) => {}
            other => other?,
        }
    }
    Ok(())
}

/// The group that this process is in, if it was delegated to a user who is not root: who may make
/// groups in it, move processes there and hand controllers down
/// (`Documentation/admin-guide/cgroup-v2.rst`, "Delegation"). The unified hierarchy alone has that.
pub fn delegated() -> Option<CgroupPath> {
    let Hierarchies::Unified(root) = Hierarchies::detect() else {
        return None;
    };
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    // Made way already: the group that was delegated is the one above.
    let above = own.strip_suffix(LEAF);
    let own = above.and_then(|path| path.strip_suffix('/')).unwrap_or(own);
    let path = CgroupPath::parse(own).ok()?;
    let folder = path.below(&root);
    let parts = [".", "cgroup.procs", "cgroup.subtree_control"];
    let writable = |part: &&str| access(&folder.join(part), AccessFlags::W_OK).is_ok();
    parts.iter().all(writable).then_some(path)
}
