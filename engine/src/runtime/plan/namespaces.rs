//! Which namespaces are new, and which are joined.

use std::os::fd::OwnedFd;

use nix::fcntl::{OFlag, open};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use oci_spec::runtime::{LinuxNamespaceType, Spec};

use super::{invalid, setup};
use crate::runtime::{Error, requirement};

/// The namespaces of a launch.
#[derive(Debug)]
pub(in crate::runtime) struct NamespacePlan {
    /// Made by the clone itself: a pid namespace only takes in children.
    pub(in crate::runtime) cloned: CloneFlags,
    /// Made by the child, while the parent prepares the cgroup.
    pub(in crate::runtime) unshared: CloneFlags,
    /// The cgroup namespace, made when the child is in its cgroup.
    pub(in crate::runtime) cgroup: CloneFlags,
    /// Joined by the child.
    pub(in crate::runtime) joined: Vec<Join>,
    /// Joined by the parent, for the moment of the clone.
    pub(in crate::runtime) entered: Vec<Join>,
    /// Whether there is a new time namespace.
    pub(in crate::runtime) time: bool,
}

/// `CLONE_NEWTIME` (Linux 5.6), which nix does not name.
pub(in crate::runtime) const NEW_TIME: CloneFlags = CloneFlags::from_bits_retain(0x80);

/// Its name in /proc/PID/ns.
pub(in crate::runtime) fn namespace_name(kind: CloneFlags) -> &'static str {
    match kind {
        CloneFlags::CLONE_NEWPID => "pid",
        CloneFlags::CLONE_NEWNS => "mnt",
        CloneFlags::CLONE_NEWUTS => "uts",
        CloneFlags::CLONE_NEWIPC => "ipc",
        CloneFlags::CLONE_NEWNET => "net",
        CloneFlags::CLONE_NEWCGROUP => "cgroup",
        CloneFlags::CLONE_NEWUSER => "user",
        _ => "time",
    }
}

/// A namespace to join.
#[derive(Debug)]
pub(in crate::runtime) struct Join {
    pub(in crate::runtime) kind: CloneFlags,
    pub(in crate::runtime) file: OwnedFd,
    pub(in crate::runtime) path: String,
}

impl NamespacePlan {
    pub(super) fn build(spec: &Spec) -> Result<Self, Error> {
        let mut plan = Self {
            cloned: CloneFlags::empty(),
            unshared: CloneFlags::empty(),
            cgroup: CloneFlags::empty(),
            joined: Vec::new(),
            entered: Vec::new(),
            time: false,
        };
        let mut seen = CloneFlags::empty();
        let list = spec
            .linux()
            .as_ref()
            .and_then(|linux| linux.namespaces().as_ref());
        for namespace in list.into_iter().flatten() {
            let kind = flag(namespace.typ());
            if seen.contains(kind) {
                return Err(invalid(
                    "linux.namespaces",
                    &format!("names {} twice", namespace.typ()),
                ));
            }
            seen |= kind;
            match namespace.path() {
                None => match kind {
                    CloneFlags::CLONE_NEWPID
                    | CloneFlags::CLONE_NEWNS
                    | CloneFlags::CLONE_NEWUSER => plan.cloned |= kind,
                    CloneFlags::CLONE_NEWCGROUP => plan.cgroup = kind,
                    NEW_TIME => plan.time = true,
                    _ => plan.unshared |= kind,
                },
                Some(path) if kind == CloneFlags::CLONE_NEWUSER => {
                    return Err(Error::Unsupported {
                        what: format!("joining the user namespace {}", path.display()),
                        remedy: "use `exec` to add a process to a running container, or give a \
                                 new user namespace with the same mappings",
                    });
                }
                Some(path) => {
                    // A FIFO must not make us wait, and a terminal not become ours.
                    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
                    let file = open(path, flags | OFlag::O_CLOEXEC, Mode::empty());
                    let path = path.display().to_string();
                    let file = file.map_err(|errno| {
                        setup(
                            format!("open the namespace {path}"),
                            "see that its owner is still running",
                            errno,
                        )
                    })?;
                    let join = Join { kind, file, path };
                    if kind == CloneFlags::CLONE_NEWPID {
                        plan.entered.push(join);
                    } else {
                        plan.joined.push(join);
                    }
                }
            }
        }
        let joins_mounts = |join: &Join| join.kind == CloneFlags::CLONE_NEWNS;
        if plan.has_users() {
            if plan.joined.iter().any(joins_mounts) {
                return Err(invalid(
                    "linux.namespaces",
                    "joins a mount namespace, which a new user namespace has no rights in",
                ));
            }
            plan.entered.append(&mut plan.joined);
        }
        // With a mount namespace, the paths of the others may be gone.
        plan.joined.sort_by_key(joins_mounts);
        if !plan.is_own(CloneFlags::CLONE_NEWNS) {
            return Err(invalid(
                "linux.namespaces",
                "must have a mount namespace: the container's mounts would be the host's",
            ));
        }
        requirement::namespaces(seen)?;
        Ok(plan)
    }

    /// Whether there is a new user namespace.
    pub(in crate::runtime) fn has_users(&self) -> bool {
        self.cloned.contains(CloneFlags::CLONE_NEWUSER)
    }

    /// Whether the container has a new or joined namespace of this kind, not the host's.
    pub(super) fn is_own(&self, kind: CloneFlags) -> bool {
        let new = self.cloned | self.unshared | self.cgroup;
        let joined = self.joined.iter().chain(&self.entered);
        new.contains(kind) || joined.map(|join| join.kind).any(|joined| joined == kind)
    }
}

fn flag(kind: LinuxNamespaceType) -> CloneFlags {
    match kind {
        LinuxNamespaceType::Pid => CloneFlags::CLONE_NEWPID,
        LinuxNamespaceType::Mount => CloneFlags::CLONE_NEWNS,
        LinuxNamespaceType::Uts => CloneFlags::CLONE_NEWUTS,
        LinuxNamespaceType::Ipc => CloneFlags::CLONE_NEWIPC,
        LinuxNamespaceType::Network => CloneFlags::CLONE_NEWNET,
        LinuxNamespaceType::Cgroup => CloneFlags::CLONE_NEWCGROUP,
        LinuxNamespaceType::User => CloneFlags::CLONE_NEWUSER,
        LinuxNamespaceType::Time => NEW_TIME,
    }
}
