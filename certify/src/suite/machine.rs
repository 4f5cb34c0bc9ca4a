//! What this machine offers: a case that it can't show is skipped, and says for want of what.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::case::{Proof, Unproven};

/// Where the controllers of this machine are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Machine {
    /// Controller → mount point of its own hierarchy.
    v1: BTreeMap<String, PathBuf>,
    /// Mount point of the unified hierarchy.
    v2: Option<PathBuf>,
    /// The controllers of the unified hierarchy.
    v2_controllers: Vec<String>,
}

/// The control group of a process for one controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Group {
    /// In the controller's own hierarchy.
    V1(PathBuf),
    /// In the unified hierarchy.
    V2(PathBuf),
}

impl Machine {
    /// Looks at this machine.
    pub(super) fn look() -> Proof<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let mut machine = Self::from_mounts(&mounts);
        if let Some(v2) = &machine.v2 {
            machine.v2_controllers = fs::read_to_string(v2.join("cgroup.controllers"))
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect();
        }
        Ok(machine)
    }

    fn from_mounts(mountinfo: &str) -> Self {
        let mut machine = Self::default();
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else {
                continue;
            };
            let mut right = right.split(' ');
            let (kind, options) = (right.next(), right.nth(1).unwrap_or_default());
            let point = PathBuf::from(left.split(' ').nth(4).unwrap_or_default());
            match kind {
                Some("cgroup2") => machine.v2 = machine.v2.or(Some(point)),
                Some("cgroup") => {
                    for option in options.split(',') {
                        machine
                            .v1
                            .entry(option.to_owned())
                            .or_insert_with(|| point.clone());
                    }
                }
                _ => {}
            }
        }
        machine
    }

    /// Skips the case unless `controller` can be used here.
    pub(super) fn needs(&self, controller: Controller) -> Proof {
        let here = controller
            .names_v1()
            .iter()
            .any(|name| self.v1.contains_key(*name))
            || self
                .v2_controllers
                .iter()
                .any(|name| name == controller.name_v2());
        if here {
            return Ok(());
        }
        Err(Unproven::Skip {
            requirement: controller.requirement(),
            why: format!(
                "no {} controller is mounted on this machine",
                controller.name_v2()
            ),
        })
    }

    /// The group that `/proc/PID/cgroup` (`text`) names for `controller`.
    pub(super) fn group(&self, text: &str, controller: Controller) -> Option<Group> {
        let entries = || {
            text.lines().filter_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                Some((parts.next()?, parts.next()?))
            })
        };
        let below = |mount: &Path, path: &str| mount.join(path.trim_start_matches('/'));
        for name in controller.names_v1() {
            let Some(mount) = self.v1.get(*name) else {
                continue;
            };
            let path =
                entries().find(|(controllers, _)| controllers.split(',').any(|c| c == *name));
            if let Some((_, path)) = path {
                return Some(Group::V1(below(mount, path)));
            }
        }
        let (_, path) = entries().find(|(controllers, _)| controllers.is_empty())?;
        Some(Group::V2(below(self.v2.as_deref()?, path)))
    }
}

/// What a kernel without namespaces of control groups lacks.
pub(super) const CGROUP_NAMESPACE: &str = "kernel.ns.cgroup";
/// What a kernel without POSIX message queues lacks.
pub(super) const MESSAGE_QUEUES: &str = "kernel.ipc.mqueue";
/// What a machine lacks where access to devices can't be limited.
pub(super) const DEVICES: &str = "kernel.cgroup.devices";

/// A controller that cases look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    /// Memory.
    Memory,
    /// Processor time.
    Cpu,
    /// Number of tasks.
    Pids,
}

impl Controller {
    const fn names_v1(self) -> &'static [&'static str] {
        match self {
            Self::Memory => &["memory"],
            Self::Cpu => &["cpu"],
            Self::Pids => &["pids"],
        }
    }

    const fn name_v2(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Pids => "pids",
        }
    }

    /// What a kernel without it lacks.
    const fn requirement(self) -> &'static str {
        match self {
            Self::Memory => "kernel.cgroup.memory",
            Self::Cpu => "kernel.cgroup.cpu",
            Self::Pids => "kernel.cgroup.pids",
        }
    }
}

impl Group {
    /// The content of the group's file, by its name in either version.
    pub(super) fn read(&self, v1: &str, v2: &str) -> Proof<String> {
        let path = match self {
            Self::V1(folder) => folder.join(v1),
            Self::V2(folder) => folder.join(v2),
        };
        fs::read_to_string(&path)
            .map(|text| text.trim().to_owned())
            .map_err(|error| {
                Unproven::unread(&format!("the container's {}", path.display()), &error)
            })
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        let (Self::V1(folder) | Self::V2(folder)) = self;
        folder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn a_group_is_found_in_whichever_hierarchy_has_the_controller() {
        let machine = Machine::from_mounts(HYBRID);
        let cgroup = "5:memory:/a/b\n3:cpu,cpuacct:/a/c\n0::/a/d\n";
        let group = |controller| machine.group(cgroup, controller).unwrap();
        assert_eq!(
            group(Controller::Memory),
            Group::V1("/sys/fs/cgroup/memory/a/b".into())
        );
        assert_eq!(
            group(Controller::Cpu),
            Group::V1("/sys/fs/cgroup/cpu,cpuacct/a/c".into())
        );
        assert_eq!(
            group(Controller::Pids),
            Group::V2("/sys/fs/cgroup/unified/a/d".into())
        );
    }

    #[test]
    fn cases_are_skipped_for_requirements_that_the_check_knows() {
        let known = matrix::requirement::Catalogue::built_in().unwrap();
        let controllers = [Controller::Memory, Controller::Cpu, Controller::Pids];
        let ids = controllers.map(Controller::requirement);
        for id in [CGROUP_NAMESPACE, MESSAGE_QUEUES, DEVICES]
            .into_iter()
            .chain(ids)
        {
            assert!(known.get(id).is_some(), "{id}");
        }
    }

    #[test]
    fn a_controller_that_is_nowhere_skips_by_its_requirement() {
        let machine = Machine::from_mounts(HYBRID);
        assert!(machine.needs(Controller::Cpu).is_ok());
        let skip = machine.needs(Controller::Pids).unwrap_err();
        assert!(matches!(
            skip,
            Unproven::Skip {
                requirement: "kernel.cgroup.pids",
                ..
            }
        ));
    }
}
