//! The wait that comes with a move into a v1 group, begun early.
//!
//! While processes are moved, forks and exits must take a lock that they otherwise do without
//! (`cgroup_threadgroup_rwsem`; so since Linux 4.4). Before the first move, the kernel waits until
//! every CPU has heard of that, an RCU grace period: 8 to 14 ms on Linux 6.18, more than all else
//! that a container's start takes. Moves shortly after do not wait again, whoever makes them. So
//! a move that changes nothing, made while the container is still being put together, takes the
//! wait out of the way of the one that matters.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;

use nix::sys::signal::{SigSet, SigmaskHow};

use super::hierarchies::{controllers, only_unified};
use crate::runtime::mountinfo;

/// Begins the wait in a thread, if this system has v1 hierarchies, and returns at once.
///
/// Nothing depends on it, so nothing is said when it fails: the wait then comes later.
pub fn begin_grace_period() {
    if only_unified() {
        return; // A container's process is born in its group there.
    }
    // Signals are for the thread that passes them on, and a new one inherits what is blocked.
    let Ok(before) = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK) else {
        return;
    };
    drop(thread::Builder::new().spawn(|| drop(move_nowhere())));
    // It was valid a moment ago.
    let _restored = before.thread_set_mask();
}

/// Moves this thread to the group that it is in. This thread alone, and by its id: for "0" the
/// kernel needs no lock, and the whole process might be brought back to a group from which its
/// supervisor has just taken it.
fn move_nowhere() -> std::io::Result<()> {
    let mounts = fs::read("/proc/self/mountinfo")?;
    let groups = fs::read_to_string("/proc/thread-self/cgroup")?;
    let Some(folder) = own_folder(&mounts, &groups) else {
        return Ok(());
    };
    let mut tasks = fs::OpenOptions::new()
        .write(true)
        .open(folder.join("tasks"))?;
    tasks.write_all(nix::unistd::gettid().to_string().as_bytes())
}

/// The folder of the caller's group in the first v1 hierarchy that is mounted as a whole: where
/// only a part is, as in a container, paths have another meaning.
fn own_folder(mounts: &[u8], groups: &str) -> Option<PathBuf> {
    let mut whole = mountinfo::parse(mounts)
        .filter(|mount| mount.kind == b"cgroup" && mount.root == Path::new("/"));
    whole.find_map(|mount| {
        let controllers = controllers(&mount.options);
        let group = groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (own, group) = rest.split_once(':')?;
            let first = controllers.first()?;
            own.split(',').any(|name| name == first).then_some(group)
        })?;
        Some(mount.point.join(group.trim_start_matches('/')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"\
31 1 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
32 31 0:29 /part /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

    #[test]
    fn the_group_that_one_is_in_is_found_where_a_hierarchy_is_mounted_as_a_whole() {
        let groups = "9:cpu,cpuacct:/a\n4:memory:/user/a:b\n0::/\n";
        let folder = own_folder(MOUNTS, groups);
        assert_eq!(folder, Some("/sys/fs/cgroup/memory/user/a:b".into()));
        assert_eq!(own_folder(MOUNTS, "9:cpu,cpuacct:/a\n0::/\n"), None);
    }

    #[test]
    fn with_the_unified_hierarchy_alone_nothing_is_moved() {
        let unified = b"30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(own_folder(unified, "0::/a\n"), None);
    }
}
