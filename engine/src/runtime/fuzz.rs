//! Targets of fuzzing: specs, and what the kernel writes.
#![expect(
    clippy::missing_panics_doc,
    reason = "a panic is how each of them tells of a broken promise"
)]

use std::path::Path;

use oci_spec::runtime::{Process, Spec};

use super::cgroup::{CgroupPath, Hierarchies, fuzz};
use super::plan::{self, Begin, Plan, ProcessPlan};
use super::{Console, Init, Launch, MountMaps, Options, Stdio, mountinfo};

/// A spec is worked out, or refused, on systems with either version of cgroups.
pub(crate) fn spec(spec: &Spec, mount_maps: &[MountMaps]) {
    let linux = spec.linux().as_ref();
    if let Some(resources) = linux.and_then(|linux| linux.resources().as_ref()) {
        fuzz::resources(resources);
    }
    let Ok(cgroup) = CgroupPath::of_container("fuzz") else {
        return;
    };
    let state = |_: &'static str, _| String::new();
    let options = Options {
        state: Some(&state),
        mount_maps,
        ..Options::default()
    };
    for hierarchies in [
        Hierarchies::Absent,
        Hierarchies::Unified("/sys/fs/cgroup".into()),
    ] {
        let launch = Launch {
            id: "fuzz",
            spec,
            filter: None,
            rootfs: Path::new("/rootfs"),
            mount: None,
            cgroup: Some(&cgroup),
            stdio: Stdio::Inherit,
            init: Init::No,
            console: Console::None,
        };
        if let Ok(plan) = Plan::build(&launch, &options, Begin::AtOnce, &hierarchies) {
            assert_is_inside(&plan);
            assert_is_somebody(&plan.process);
        }
    }
}

/// Every path that the child will open is relative to its root, and every kernel parameter lies in
/// `sys`.
fn assert_is_inside(plan: &Plan) {
    let paths = plan.masked.iter().chain(&plan.readonly);
    for path in paths.map(|path| path.to_bytes()) {
        assert!(!path.is_empty() && !path.contains(&0));
    }
    for sysctl in &plan.sysctls {
        let path = sysctl.path.to_string_lossy();
        assert!(
            path.starts_with("sys/net/")
                || path.starts_with("sys/kernel/")
                || path.starts_with("sys/fs/mqueue/"),
            "{path}"
        );
        assert!(
            !path.split('/').any(|name| matches!(name, "" | "." | "..")),
            "{path}"
        );
    }
}

/// No id is one that the kernel takes for "as it was".
fn assert_is_somebody(plan: &ProcessPlan) {
    let ids = [plan.uid, plan.gid];
    assert!(
        ids.iter()
            .chain(plan.groups.iter().flatten())
            .all(|id| *id != u32::MAX),
        "{plan:?}"
    );
}

/// A process is worked out, or refused.
pub(crate) fn process(process: &Process) {
    drop(plan::refuse_process(process));
    if let Ok(plan) = ProcessPlan::build(process, None, Console::None) {
        assert_is_somebody(&plan);
    }
}

/// A table of mounts is read, whatever was mounted and called.
pub fn mountinfo(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n').count();
    assert!(mountinfo::parse(data).count() <= lines);
    fuzz::hierarchies(data);
}

/// Files of control groups are read, and their paths lead nowhere else.
pub fn cgroup_files(data: &[u8]) {
    fuzz::files(data);
}
