//! Control groups: what is mounted, and what can be.
//!
//! `/proc/cgroups` is not asked: Debian's 6.12 lists memory and cpuset as enabled there, though
//! their v1 hierarchies can't be mounted, and later kernels leave them out though v2 has them.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use super::{Findings, Scratch, fails, mount_point, note, undecided, works};

/// Requirement → the controller's name on v1, and on v2 where it has one of its own.
const CONTROLLERS: [(&str, &str, Option<&str>); 7] = [
    ("kernel.cgroup.memory", "memory", Some("memory")),
    ("kernel.cgroup.cpu", "cpu", Some("cpu")),
    ("kernel.cgroup.pids", "pids", Some("pids")),
    ("kernel.cgroup.cpuset", "cpuset", Some("cpuset")),
    ("kernel.cgroup.blkio", "blkio", Some("io")),
    ("kernel.cgroup.hugetlb", "hugetlb", Some("hugetlb")),
    ("kernel.cgroup.freezer", "freezer", None),
];

pub(super) fn probe(findings: &mut Findings, scratch: Scratch) {
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let knows = |name: &str| {
        filesystems
            .lines()
            .any(|line| line.split_whitespace().next_back() == Some(name))
    };
    for (id, name) in [
        ("kernel.cgroup.v1", "cgroup"),
        ("kernel.cgroup.v2", "cgroup2"),
    ] {
        let finding = if knows(name) {
            works(format!("the kernel knows the file system {name}"))
        } else {
            fails(format!("the kernel does not know the file system {name}"))
        };
        note(findings, id, finding);
    }
    let unified = unified(scratch);
    for (id, v1, v2) in CONTROLLERS {
        note(
            findings,
            id,
            controller(v1, v2, unified.as_deref(), scratch),
        );
    }
}

fn controller(
    v1: &str,
    v2: Option<&str>,
    unified: Option<&str>,
    scratch: Scratch,
) -> matrix::support::Probe {
    let has = |name: &str| unified.is_some_and(|all| all.split_whitespace().any(|one| one == name));
    if v2.is_some_and(has) {
        return works(format!("cgroup.controllers names {v1}"));
    }
    // Every group but the root of v2 can be frozen since 5.2, without a controller.
    if v2.is_none() && unified.is_some_and(|_| can_freeze()) {
        return works("cgroup v2 has cgroup.freeze");
    }
    if is_mounted(v1) {
        return works(format!("the v1 hierarchy of {v1} is mounted"));
    }
    if let Scratch::Refused(errno) = scratch {
        return undecided(format!(
            "mounting the v1 hierarchy of {v1} gives {errno}: it needs root"
        ));
    }
    let tried = mount_point(v1).and_then(|point| {
        Ok(mount(
            Some("cgroup"),
            &point,
            Some("cgroup"),
            MsFlags::empty(),
            Some(v1),
        )?)
    });
    match tried {
        Ok(()) => works(format!("the v1 hierarchy of {v1} was mounted")),
        Err(error) => fails(format!(
            "no hierarchy has the controller {v1}: mounting one gives {error}"
        )),
    }
}

/// The controllers of the unified hierarchy, mounting it in the scratch namespace where it is
/// not; `None` where there is none.
fn unified(scratch: Scratch) -> Option<String> {
    let point = mounted_at("cgroup2", None).or_else(|| {
        (scratch == Scratch::Ready).then_some(())?;
        let point = mount_point("unified").ok()?;
        mount(
            Some("cgroup2"),
            &point,
            Some("cgroup2"),
            MsFlags::empty(),
            None::<&str>,
        )
        .ok()?;
        Some(point)
    })?;
    fs::read_to_string(point.join("cgroup.controllers")).ok()
}

fn is_mounted(controller: &str) -> bool {
    mounted_at("cgroup", Some(controller)).is_some()
}

fn can_freeze() -> bool {
    let Some(point) = mounted_at("cgroup2", None) else {
        return false;
    };
    let Ok(own) = fs::read_to_string("/proc/self/cgroup") else {
        return false;
    };
    let own = own
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap_or_default();
    if point.join(own).join("cgroup.freeze").exists() {
        return true;
    }
    // The root has no such file; any child has.
    fs::read_dir(&point)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.path().join("cgroup.freeze").exists())
}

/// Where a file system of this type, with this option of its superblock, is mounted.
fn mounted_at(kind: &str, option: Option<&str>) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let matches = right.next() == Some(kind)
            && option.is_none_or(|option| {
                right
                    .nth(1)
                    .is_some_and(|options| options.split(',').any(|one| one == option))
            });
        matches.then(|| {
            left.split(' ')
                .nth(4)
                .map(|point| Path::new(point).to_owned())
        })?
    })
}
