//! Distributions: their releases, with the kernels and defaults that a container engine meets.

use std::fmt;

use serde::Deserialize;

use crate::axis::{CgroupMode, StorageDriver};
use crate::profile::{ProfileError, read, versions};
use crate::version::KernelVersion;

/// What is compiled in, a family a file.
const FILES: [(&str, &str); 5] = [
    ("debian.toml", include_str!("../data/distros/debian.toml")),
    ("ubuntu.toml", include_str!("../data/distros/ubuntu.toml")),
    ("rhel.toml", include_str!("../data/distros/rhel.toml")),
    ("fedora.toml", include_str!("../data/distros/fedora.toml")),
    ("suse.toml", include_str!("../data/distros/suse.toml")),
];

/// One release of one distribution.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The distribution's id, as `/etc/os-release` has it (`debian`).
    pub distro: String,
    /// The release (`12`).
    pub release: String,
    /// Its kernels by mainline version, the one that it came with first, then those of
    /// backports, hardware enablement and service packs.
    #[serde(deserialize_with = "versions")]
    pub kernels: Vec<KernelVersion>,
    /// When its free support ends or ended: a year (`2027`) or a month (`2028-06`); none for
    /// rolling ones.
    #[serde(default)]
    pub support_ends: Option<String>,
    /// The storage drivers that its own kernel has, the usual one first; plain copies always
    /// work and are not named.
    pub storage: Vec<StorageDriver>,
    /// How its control groups are mounted by default.
    pub cgroup: CgroupMode,
    /// The backend of its iptables.
    pub iptables: Iptables,
    /// Its security module.
    pub mac: Mac,
    /// What a person should know besides.
    #[serde(default)]
    pub note: Option<String>,
}

/// What `iptables` programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Iptables {
    /// The old tables (`ip_tables`).
    Legacy,
    /// nftables.
    Nft,
}

/// A security module that a distribution has on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mac {
    /// AppArmor.
    Apparmor,
    /// SELinux.
    Selinux,
    /// None.
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    release: Vec<Release>,
}

/// Every release of the compiled-in data, a family after the other, the oldest first.
///
/// # Errors
/// None in a build that passed its tests: the files are part of it.
pub fn releases() -> Result<Vec<Release>, ProfileError> {
    let mut all = Vec::new();
    for (name, text) in FILES {
        all.extend(read::<File>(name, text)?.release);
    }
    Ok(all)
}

impl fmt::Display for Release {
    /// As in a cell's id: `debian-12`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.distro, self.release)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn the_releases_are_these() {
        let mut list = String::new();
        for release in releases().unwrap() {
            let kernels: Vec<_> = release.kernels.iter().map(ToString::to_string).collect();
            let storage: Vec<_> = release.storage.iter().map(|s| s.name()).collect();
            writeln!(
                list,
                "{:<22} {:<18} {:<8} {:<20} {:<6} {:<6} {:?}",
                release.to_string(),
                kernels.join(" "),
                release.support_ends.as_deref().unwrap_or("-"),
                storage.join(" "),
                release.cgroup.name(),
                format!("{:?}", release.iptables).to_lowercase(),
                release.mac,
            )
            .unwrap();
        }
        insta::assert_snapshot!(list);
    }

    #[test]
    fn every_release_stands_once_and_has_a_kernel() {
        let mut seen = BTreeSet::new();
        for release in releases().unwrap() {
            assert!(seen.insert(release.to_string()), "{release} stands twice");
            assert!(!release.kernels.is_empty(), "{release} has no kernel");
        }
    }

    #[test]
    fn no_release_mounts_the_second_hierarchy_before_it_was_complete() {
        for release in releases().unwrap() {
            let newest = release.kernels.iter().max().unwrap();
            let complete = *newest >= KernelVersion::new(5, 2);
            assert!(complete || release.cgroup != CgroupMode::V2, "{release}");
        }
    }
}
