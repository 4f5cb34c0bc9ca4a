//! Targets of fuzzing: control groups.

use oci_spec::runtime::LinuxResources;

use super::hierarchies::{Hierarchies, controllers};
use super::{CgroupPath, devices, settings, stats, tree};
use crate::fuzz::text;

/// Resources become settings for either version, and device rules a program, or are refused.
pub(in crate::runtime) fn resources(resources: &LinuxResources) {
    drop((settings::legacy(resources), settings::unified(resources)));
    if let Ok(rules) = devices::rules(resources.devices().as_deref().unwrap_or_default()) {
        drop(devices::program(&rules));
    }
}

/// Hierarchies are found in a table of mounts.
pub(in crate::runtime) fn hierarchies(table: &[u8]) {
    match Hierarchies::from_mounts(table) {
        Hierarchies::Legacy(list) => assert!(!list.is_empty()),
        Hierarchies::Unified(_) | Hierarchies::Absent => {}
    }
}

/// The kernel's files, and paths of groups, are read; a path that is taken has no way out.
pub(in crate::runtime) fn files(data: &[u8]) {
    let text = text(data);
    drop((stats::unified_io(&text), stats::legacy_io(&text)));
    let _ = tree::keyed(&text, "usage_usec");
    drop(controllers(data));
    let paths = [CgroupPath::parse(&text), CgroupPath::of_container(&text)];
    for path in paths.into_iter().flatten() {
        let below = path.below("/root".as_ref());
        assert!(below.starts_with("/root") && path.components().all(|name| name != ".."));
    }
}
