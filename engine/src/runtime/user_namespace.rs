//! The maps of a new user namespace: which of the host's users the container's are.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use oci_spec::runtime::{LinuxIdMapping, Spec};

use super::plan::{c_string, invalid, setup};
use super::{Error, plan};
use crate::sys::fds;

/// As many lines as the kernel takes (`UID_GID_MAP_MAX_EXTENTS`; 5 before Linux 4.15).
const MAX_LINES: usize = 340;

/// What is written about the child before it goes on.
#[derive(Debug)]
pub(super) struct UserMaps {
    uid: String,
    gid: String,
    /// A process without privileges on the host cannot set its own, even to a higher one: as it
    /// is closed to inspection, its files in /proc belong to the host's root.
    pub(super) oom_score: Option<String>,
}

impl UserMaps {
    /// Those of the spec, which a new user namespace must have.
    pub(super) fn build(spec: &Spec) -> Result<Self, Error> {
        let linux = spec.linux().as_ref();
        let uid = linux.and_then(|linux| linux.uid_mappings().as_deref());
        let gid = linux.and_then(|linux| linux.gid_mappings().as_deref());
        Ok(Self {
            uid: text("linux.uidMappings", uid.unwrap_or_default())?,
            gid: text("linux.gidMappings", gid.unwrap_or_default())?,
            oom_score: None,
        })
    }

    /// Maps of a mount, whose files look as if they were other users'.
    pub(super) fn of_mount(
        field: &str,
        uid: &[LinuxIdMapping],
        gid: &[LinuxIdMapping],
    ) -> Result<Self, Error> {
        Ok(Self {
            uid: lines(&format!("{field} uidMappings"), uid)?,
            gid: lines(&format!("{field} gidMappings"), gid)?,
            oom_score: None,
        })
    }

    /// Writes them for a process. `proc` is a procfs of ours.
    pub(super) fn write(&self, proc: BorrowedFd<'_>, pid: u32) -> Result<(), Error> {
        let write = |file: &str, value: &str| {
            let path = c_string(format!("{pid}/{file}").as_bytes(), file)?;
            fds::write_once(proc, &path, value.as_bytes()).map_err(|errno| failed(file, errno))
        };
        if let Some(score) = &self.oom_score {
            write("oom_score_adj", score)?;
        }
        write("uid_map", &self.uid)?;
        write("gid_map", &self.gid)
    }
}

fn failed(file: &str, errno: Errno) -> Error {
    setup(
        format!("write {file} of the container's user namespace"),
        "run Keel as root, and map each id once, to ids that exist here",
        errno,
    )
}

/// With the container's root, who makes its mounts.
fn text(field: &str, mappings: &[LinuxIdMapping]) -> Result<String, Error> {
    let root = |mapping: &LinuxIdMapping| mapping.container_id() == 0 && mapping.size() > 0;
    if !mappings.iter().any(root) {
        return Err(invalid(
            field,
            "must map id 0: a user namespace in linux.namespaces needs a root of its own",
        ));
    }
    lines(field, mappings)
}

fn lines(field: &str, mappings: &[LinuxIdMapping]) -> Result<String, Error> {
    if mappings.is_empty() {
        return Err(invalid(field, "must not be empty"));
    }
    if mappings.len() > MAX_LINES {
        return Err(invalid(
            field,
            &format!("has more than {MAX_LINES} entries"),
        ));
    }
    let line = |mapping: &LinuxIdMapping| {
        format!(
            "{} {} {}\n",
            mapping.container_id(),
            mapping.host_id(),
            mapping.size()
        )
    };
    Ok(mappings.iter().map(line).collect())
}

/// A user namespace with these maps that no process need be in: for idmapped mounts.
pub(super) fn holding(
    maps: &UserMaps,
    proc: BorrowedFd<'_>,
) -> Result<std::os::fd::OwnedFd, Error> {
    use crate::sys::clone::{Request, Side, clone, exit_now};
    use crate::sys::signals;
    let request = Request {
        namespaces: u64::from(nix::sched::CloneFlags::CLONE_NEWUSER.bits().unsigned_abs()),
        ..Request::default()
    };
    let pid = match clone(request) {
        Ok(Side::Child) => loop {
            // Until it is killed, or we are.
            if nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).is_err() {
                exit_now(1);
            }
            nix::unistd::pause();
        },
        Ok(Side::Parent { pid, .. }) => pid,
        Err(errno) => return Err(super::explain::clone_failed(errno)),
    };
    let opened = maps.write(proc, pid).and_then(|()| {
        let path = c_string(format!("{pid}/ns/user").as_bytes(), "user namespace")?;
        let flags = nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_CLOEXEC;
        nix::fcntl::openat(proc, path.as_c_str(), flags, nix::sys::stat::Mode::empty())
            .map_err(|errno| failed("the file", errno))
    });
    let number = i32::try_from(pid).unwrap_or_default();
    // It is ours, and ends by nothing else.
    let _killed = signals::send(number, nix::libc::SIGKILL);
    let _reaped = signals::reap(number);
    opened
}

/// Namespaces that this thread enters so that its next child is born in them, and leaves again:
/// those that only take in children (pid), and those that a child in a user namespace of its own
/// may not enter any more.
#[derive(Debug)]
pub(super) struct Detour {
    back: Vec<(nix::sched::CloneFlags, std::os::fd::OwnedFd)>,
}

impl Detour {
    /// Enters.
    pub(super) fn enter(joins: &[plan::Join]) -> Result<Self, Error> {
        let mut detour = Self { back: Vec::new() };
        for join in joins {
            let name = plan::namespace_name(join.kind);
            let step = || format!("join the namespace {}", join.path);
            let remedy = "see that its kind is the one that the spec gives";
            let own = format!("/proc/self/ns/{name}");
            let own = std::fs::File::open(own).map_err(|error| setup(step(), remedy, error))?;
            nix::sched::setns(&join.file, join.kind)
                .map_err(|errno| setup(step(), remedy, errno))?;
            detour.back.push((join.kind, own.into()));
        }
        Ok(detour)
    }

    /// Leaves again.
    pub(super) fn leave(mut self) -> Result<(), Error> {
        self.go_back().map_err(|errno| {
            setup(
                "leave the container's namespaces again".to_owned(),
                "run Keel with CAP_SYS_ADMIN",
                errno,
            )
        })
    }

    fn go_back(&mut self) -> Result<(), Errno> {
        while let Some((kind, own)) = self.back.pop() {
            nix::sched::setns(own, kind)?;
        }
        Ok(())
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        // Left on the way in: the error that led here is what matters.
        let _left = self.go_back();
    }
}
