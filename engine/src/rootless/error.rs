//! Why there is no user namespace, and which setting of the kernel says so.

use std::fs;
use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

/// What stopped a user's keel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel makes no user namespace for this user.
    #[error(
        "a user who is not root needs a user namespace, and the kernel refuses one: {why}; {remedy}"
    )]
    Forbidden {
        /// What it refuses, or by which setting.
        why: &'static str,
        /// What to do.
        remedy: &'static str,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The ids were not mapped.
    #[error("cannot map users and groups into a user namespace: {why}")]
    Map {
        /// What failed, and what to do.
        why: String,
    },
    /// A file or folder of the user's.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(super) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source: source.into(),
        }
    }

    /// The refusal of a user namespace, or of what its root should be able to do.
    pub(super) fn forbidden(errno: Errno) -> Self {
        let read = |file: &str| fs::read_to_string(format!("/proc/sys/{file}")).ok();
        let (why, remedy) = reason(errno, read);
        Self::Forbidden {
            why,
            remedy,
            source: errno.into(),
        }
    }
}

/// Settings that forbid user namespaces: file below `/proc/sys`, the value that forbids, why and
/// what to do.
const SETTINGS: [(&str, &str, &str, &str); 3] = [
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "`kernel.unprivileged_userns_clone` is 0",
        "as root, set it to 1 (`sysctl -w kernel.unprivileged_userns_clone=1`)",
    ),
    (
        "user/max_user_namespaces",
        "0",
        "`user.max_user_namespaces` is 0",
        "as root, raise it (`sysctl -w user.max_user_namespaces=10000`)",
    ),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "`kernel.apparmor_restrict_unprivileged_userns` is 1",
        "as root, give keel an AppArmor profile with `userns,`, or set it to 0",
    ),
];

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "error numbers: only some have a meaning here"
)]
fn reason(errno: Errno, read: impl Fn(&str) -> Option<String>) -> (&'static str, &'static str) {
    for (file, forbids, why, remedy) in SETTINGS {
        if read(file).is_some_and(|value| value.trim() == forbids) {
            return (why, remedy);
        }
    }
    match errno {
        Errno::EINVAL | Errno::ENOSYS => (
            "it has none",
            "use a kernel with CONFIG_USER_NS (on RHEL 7: `user_namespace.enable=1`)",
        ),
        Errno::ENOSPC | Errno::EUSERS => (
            "there are too many, or they are nested too deep",
            "raise `user.max_user_namespaces`",
        ),
        _ => (
            "something stands in the way: a system call filter, a security module or a chroot",
            "run keel outside of it, or as root",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_forbids_is_named() {
        for (file, value, name) in [
            (
                "kernel/unprivileged_userns_clone",
                "0\n",
                "unprivileged_userns_clone",
            ),
            ("user/max_user_namespaces", "0\n", "max_user_namespaces"),
            (
                "kernel/apparmor_restrict_unprivileged_userns",
                "1\n",
                "apparmor_restrict",
            ),
        ] {
            let read = |asked: &str| (asked == file).then(|| value.to_owned());
            let (why, _) = reason(Errno::EPERM, read);
            assert!(why.contains(name), "{why}");
        }
    }

    #[test]
    fn without_such_a_setting_the_error_number_tells() {
        let allowed = |file: &str| {
            Some(
                if file.starts_with("kernel/app") {
                    "0"
                } else {
                    "1"
                }
                .to_owned(),
            )
        };
        assert_eq!(reason(Errno::EINVAL, allowed).0, "it has none");
        assert!(reason(Errno::EPERM, |_| None).0.contains("filter"));
    }
}
