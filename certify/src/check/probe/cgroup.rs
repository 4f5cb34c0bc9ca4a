//! Control groups: what is mounted, and what can be.
//!
//! `/proc/cgroups` is not asked: Debian's 6.12 lists memory and cpuset as enabled there, though
//! their v1 hierarchies can't be mounted, and later kernels leave them out though v2 has them.

use std::fs;
use std::path::{Path, PathBuf};

use matrix::support::Probe;
use matrix::version::KernelVersion;
use nix::libc;
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
    let unified = unified(scratch);
    for (id, v1, v2) in CONTROLLERS {
        note(
            findings,
            id,
            controller(v1, v2, unified.as_deref(), scratch),
        );
    }
    let v1 = first_hierarchy(scratch);
    let v2 = second_hierarchy(unified.as_deref());
    let whole = match (&v1, &v2) {
        (Probe::Works { how }, _) | (_, Probe::Works { how }) => {
            // A controller that neither has makes neither complete.
            match finding_of(findings, "kernel.cgroup.memory") {
                Some(Probe::Fails { why }) => fails(why.clone()),
                _ => works(how.clone()),
            }
        }
        (Probe::Fails { why }, Probe::Fails { .. }) => fails(why.clone()),
        _ => undecided("no hierarchy shows all of its controllers"),
    };
    note(findings, "kernel.cgroup.v1", v1);
    note(findings, "kernel.cgroup.v2", v2);
    note(findings, "kernel.cgroup.hierarchy", whole);
}

fn finding_of<'a>(findings: &'a Findings, id: &str) -> Option<&'a Probe> {
    findings
        .iter()
        .find(|(found, _)| found.as_str() == id)
        .map(|(_, probe)| probe)
}

/// Whether the kernel knows a file system by this name.
fn knows(name: &str) -> bool {
    fs::read_to_string("/proc/filesystems")
        .unwrap_or_default()
        .lines()
        .any(|line| line.split_whitespace().next_back() == Some(name))
}

/// Complete when memory, devices and freezer have v1 hierarchies. Where v2 has taken a
/// controller, mounting its v1 hierarchy is refused though the kernel could do it, so that a
/// refusal alone proves nothing.
fn first_hierarchy(scratch: Scratch) -> Probe {
    if !knows("cgroup") {
        return fails("the kernel does not know the file system cgroup");
    }
    let needed = ["memory", "devices", "freezer"];
    if needed.iter().all(|name| is_mounted(name)) {
        return works("the v1 hierarchies of memory, devices and freezer are mounted");
    }
    if scratch != Scratch::Ready {
        return undecided("mounting v1 hierarchies needs root");
    }
    let refused = needed
        .iter()
        .filter(|name| !is_mounted(name))
        .find_map(|name| mount_first(name, "whole").err().map(|error| (name, error)));
    match refused {
        None => works("v1 hierarchies of memory, devices and freezer can be mounted"),
        Some((name, error)) => {
            undecided(format!("mounting the v1 hierarchy of {name} gives {error}"))
        }
    }
}

/// Complete when memory, cpu and pids are there. A controller that is mounted on v1 is absent
/// from it, so that absence alone proves nothing.
fn second_hierarchy(unified: Option<&str>) -> Probe {
    if !knows("cgroup2") {
        return fails("the kernel does not know the file system cgroup2");
    }
    let has = |name: &str| unified.is_some_and(|all| all.split_whitespace().any(|one| one == name));
    if ["memory", "cpu", "pids"].iter().all(|name| has(name)) {
        works("cgroup.controllers names memory, cpu and pids")
    } else {
        undecided("cgroup.controllers does not name memory, cpu and pids, perhaps as v1 has them")
    }
}

fn mount_first(controller: &str, prefix: &str) -> std::io::Result<()> {
    let point = mount_point(&format!("{prefix}-{controller}"))?;
    mount(
        Some("cgroup"),
        &point,
        Some("cgroup"),
        MsFlags::empty(),
        Some(controller),
    )?;
    Ok(())
}

fn controller(v1: &str, v2: Option<&str>, unified: Option<&str>, scratch: Scratch) -> Probe {
    let has = |name: &str| unified.is_some_and(|all| all.split_whitespace().any(|one| one == name));
    if v2.is_some_and(has) {
        return works(format!("cgroup.controllers names {v1}"));
    }
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
    match mount_first(v1, "one") {
        Ok(()) => works(format!("the v1 hierarchy of {v1} was mounted")),
        // In use elsewhere, or forbidden here: nothing about the kernel.
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EPERM | libc::EACCES | libc::EBUSY)
            ) =>
        {
            undecided(format!("mounting the v1 hierarchy of {v1} gives {error}"))
        }
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

/// Every group but the root of v2 has cgroup.freeze since 5.2; before there is any group, only
/// the version tells.
fn can_freeze() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release
        .parse::<KernelVersion>()
        .is_ok_and(|version| version >= KernelVersion::new(5, 2))
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
