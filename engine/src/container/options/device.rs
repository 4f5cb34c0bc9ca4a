//! `--device /dev/fuse`.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Malformed;
use super::mounts::in_container;

/// A device of the host, made in the container too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// On the host.
    pub path_on_host: PathBuf,
    /// In the container.
    pub path_in_container: PathBuf,
    /// `r`, `w`, `m` (make nodes), in any order.
    pub cgroup_permissions: String,
}

impl FromStr for Device {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bad = |why: &str| {
            Malformed::new(
                format!("`{text}` {why}"),
                "`/dev/fuse` or `/dev/on-host:/dev/in-container:rwm`",
            )
        };
        let is_access = |text: &str| !text.is_empty() && text.chars().all(|c| "rwm".contains(c));
        let parts: Vec<&str> = text.split(':').collect();
        let (host, inside, access) = match *parts.as_slice() {
            [host] => (host, host, "rwm"),
            [host, access] if is_access(access) => (host, host, access),
            [host, inside] => (host, inside, "rwm"),
            [host, inside, access] if is_access(access) => (host, inside, access),
            _ => return Err(bad("is not HOST[:CONTAINER][:rwm]")),
        };
        let path = |text| in_container(text).ok_or_else(|| bad("is not an absolute path"));
        Ok(Self {
            path_on_host: path(host)?,
            path_in_container: path(inside)?,
            cgroup_permissions: access.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_part_may_be_a_place_or_an_access() {
        let device: Device = "/dev/fuse:r".parse().unwrap();
        assert_eq!(device.path_in_container, PathBuf::from("/dev/fuse"));
        assert_eq!(device.cgroup_permissions, "r");
        let device: Device = "/dev/sda:/dev/xvda:rm".parse().unwrap();
        assert_eq!(device.path_in_container, PathBuf::from("/dev/xvda"));
        assert!("/dev/sda:/dev/xvda:x".parse::<Device>().is_err());
        assert!("fuse".parse::<Device>().is_err());
    }
}
