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
    pub(in crate::runtime) joined: Vec<Join>,
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
        };
        let mut seen = CloneFlags::empty();
        let list = spec
            .linux()
            .as_ref()
            .and_then(|linux| linux.namespaces().as_ref());
        for namespace in list.into_iter().flatten() {
            let kind = flag(namespace.typ())?;
            if seen.contains(kind) {
                return Err(invalid(
                    "linux.namespaces",
                    &format!("names {} twice", namespace.typ()),
                ));
            }
            seen |= kind;
            match namespace.path() {
                None => match kind {
                    CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS => plan.cloned |= kind,
                    CloneFlags::CLONE_NEWCGROUP => plan.cgroup = kind,
                    _ => plan.unshared |= kind,
                },
                Some(path)
                    if kind.intersects(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS) =>
                {
                    return Err(Error::Unsupported {
                        what: format!(
                            "joining the {} namespace {}",
                            namespace.typ(),
                            path.display()
                        ),
                        remedy: "use `exec` to add a process to a running container",
                    });
                }
                Some(path) => {
                    let file = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
                    let path = path.display().to_string();
                    let file = file.map_err(|errno| {
                        setup(
                            format!("open the namespace {path}"),
                            "see that its owner is still running",
                            errno,
                        )
                    })?;
                    plan.joined.push(Join { kind, file, path });
                }
            }
        }
        if !plan.cloned.contains(CloneFlags::CLONE_NEWNS) {
            return Err(invalid(
                "linux.namespaces",
                "must have a mount namespace: the container's mounts would be the host's",
            ));
        }
        requirement::namespaces(seen)?;
        Ok(plan)
    }

    /// Whether the container has a new or joined namespace of this kind, not the host's.
    pub(super) fn is_own(&self, kind: CloneFlags) -> bool {
        let new = self.cloned | self.unshared | self.cgroup;
        new.contains(kind) || self.joined.iter().any(|join| join.kind == kind)
    }
}

fn flag(kind: LinuxNamespaceType) -> Result<CloneFlags, Error> {
    let refused = |what: &str, remedy| {
        Err(Error::Unsupported {
            what: what.to_owned(),
            remedy,
        })
    };
    match kind {
        LinuxNamespaceType::Pid => Ok(CloneFlags::CLONE_NEWPID),
        LinuxNamespaceType::Mount => Ok(CloneFlags::CLONE_NEWNS),
        LinuxNamespaceType::Uts => Ok(CloneFlags::CLONE_NEWUTS),
        LinuxNamespaceType::Ipc => Ok(CloneFlags::CLONE_NEWIPC),
        LinuxNamespaceType::Network => Ok(CloneFlags::CLONE_NEWNET),
        LinuxNamespaceType::Cgroup => Ok(CloneFlags::CLONE_NEWCGROUP),
        LinuxNamespaceType::User => {
            refused("a user namespace", "leave `user` out of linux.namespaces")
        }
        LinuxNamespaceType::Time => {
            refused("a time namespace", "leave `time` out of linux.namespaces")
        }
    }
}
