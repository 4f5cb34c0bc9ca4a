//! Where a container's control group is.

use super::config::HostConfig;
use super::id::ContainerId;
use super::{Container, Error};
use crate::runtime::cgroup::{CgroupPath, delegated};
use crate::sys::user_namespace::{Users, users};

/// What `--cgroup-parent` is when nobody gives it.
const PARENT: &str = "/keel";

/// Settles the place of a new container's group: below the parent that was asked for. A user who
/// is not root, and names none, has only what was delegated to them; where that is nothing the
/// container has no group, and can have no limits.
///
/// # Errors
/// [`Error::NoGroup`] for limits.
pub(super) fn settle(host: &mut HostConfig, id: &ContainerId) -> Result<(), Error> {
    let parent = host.cgroup.trim_end_matches('/');
    let parent = match users() {
        Users::Mapped if parent == PARENT => {
            delegated().map(|own| format!("{}{PARENT}", own.as_str()))
        }
        Users::Mapped | Users::Hosts => Some(parent.to_owned()),
    };
    if parent.is_none() && has_limits(host) {
        return Err(Error::NoGroup);
    }
    host.cgroup = parent.map_or_else(String::new, |parent| format!("{parent}/{id}"));
    Ok(())
}

fn has_limits(host: &HostConfig) -> bool {
    host.memory.is_some()
        || host.cpus.is_some()
        || host.cpu_shares.is_some()
        || host.pids_limit.is_some_and(|limit| limit >= 0)
}

impl Container {
    /// The place of its group.
    ///
    /// # Errors
    /// [`Error::NoGroup`] when it has none.
    pub(super) fn cgroup(&self) -> Result<CgroupPath, Error> {
        let place = &self.config().host.cgroup;
        if place.is_empty() {
            return Err(Error::NoGroup);
        }
        CgroupPath::parse(place).map_err(|error| Error::Runtime(error.into()))
    }
}
