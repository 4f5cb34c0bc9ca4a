//! Whether this process is in the host's user namespace, or in another.

use std::sync::OnceLock;

use nix::sys::stat::stat;

/// Whose users this process's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Users {
    /// The host's: root is root.
    Hosts,
    /// Those of a user namespace: its root has rights over what belongs to the namespace only.
    Mapped,
}

/// Inode number of the host's user namespace (`PROC_USER_INIT_INO`, from Linux 3.8 on).
const HOSTS: u64 = 0xefff_fffd;

/// Whose users ours are; asked once, so not before the process has entered a namespace that it is
/// to live in.
pub(crate) fn users() -> Users {
    static USERS: OnceLock<Users> = OnceLock::new();
    *USERS.get_or_init(|| match stat("/proc/self/ns/user") {
        Ok(found) if found.st_ino != HOSTS => Users::Mapped,
        // A kernel without user namespaces has the host's alone.
        Ok(_) | Err(_) => Users::Hosts,
    })
}

/// Whether further groups can be set here: never in a namespace that a user made alone, as a
/// group may also be what a file is closed to (`user_namespaces(7)`, `setgroups`, from 3.19).
pub(crate) fn may_set_groups() -> bool {
    users() == Users::Hosts
        || std::fs::read("/proc/self/setgroups").is_ok_and(|word| word.trim_ascii() != b"deny")
}

/// Whether there is nobody here but root: a user namespace that somebody without ranges of ids
/// made. Asked once, as [`users`].
pub(crate) fn is_root_alone() -> bool {
    static ALONE: OnceLock<bool> = OnceLock::new();
    *ALONE.get_or_init(|| {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        users() == Users::Mapped && map.split_ascii_whitespace().skip(2).eq(["1"])
    })
}
