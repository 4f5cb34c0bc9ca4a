//! Which hierarchies this system has.

use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use crate::runtime::mountinfo;

/// Where every distribution mounts them.
const ROOT: &str = "/sys/fs/cgroup";

/// Controllers that every container is put in, so that it can be stopped, counted and limited
/// later; the others only when a limit asks for them, as each folder costs time.
const ALWAYS: [&str; 7] = [
    "devices",
    "freezer",
    "memory",
    "cpu",
    "cpuacct",
    "pids",
    "name=systemd",
];

/// Which kind of hierarchies are mounted below `/sys/fs/cgroup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One hierarchy a controller.
    V1,
    /// The unified hierarchy alone.
    V2,
    /// v1 controllers, with a unified hierarchy beside them; used as v1.
    Hybrid,
    /// None is mounted: containers run without limits.
    Absent,
}

/// The hierarchies themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hierarchies {
    /// The unified hierarchy, mounted here.
    Unified(PathBuf),
    /// v1 hierarchies.
    Legacy(Vec<Hierarchy>),
    /// None.
    Absent,
}

/// A v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub point: PathBuf,
    /// Its controllers; a named one has `name=NAME`.
    pub controllers: Vec<String>,
}

impl Hierarchy {
    /// Whether every container gets a folder in it.
    pub(in crate::runtime) fn always_used(&self) -> bool {
        self.controllers
            .iter()
            .any(|controller| ALWAYS.contains(&controller.as_str()))
    }

    /// Whether one of its controllers is this one.
    pub(super) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|own| own == controller)
    }

    /// The mount options that mount it once more.
    pub(in crate::runtime) fn options(&self) -> String {
        let name = self
            .controllers
            .iter()
            .any(|controller| controller.starts_with("name="));
        // A named hierarchy must be asked for as one without controllers, but only if it has none.
        if name && self.controllers.len() == 1 {
            return format!("none,{}", self.controllers.join(","));
        }
        self.controllers.join(",")
    }

    /// Its folder's customary name: `cpu,cpuacct`, `systemd`.
    pub(in crate::runtime) fn folder_name(&self) -> String {
        let point = self.point.file_name().and_then(std::ffi::OsStr::to_str);
        point.map_or_else(|| self.controllers.join(","), str::to_owned)
    }
}

impl Hierarchies {
    /// Looks at what is mounted.
    pub fn detect() -> Self {
        let root = Path::new(ROOT);
        if is_unified(root) {
            return Self::Unified(root.to_owned());
        }
        let table = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
        Self::from_mounts(&table)
    }

    pub(super) fn from_mounts(table: &[u8]) -> Self {
        let mut legacy: Vec<Hierarchy> = Vec::new();
        let mut unified = None;
        for mount in mountinfo::parse(table) {
            match mount.kind.as_slice() {
                b"cgroup" => {
                    let controllers = controllers(&mount.options);
                    // The same hierarchy can be mounted several times; the first will do.
                    if !controllers.is_empty()
                        && legacy.iter().all(|other| other.controllers != controllers)
                    {
                        legacy.push(Hierarchy {
                            point: mount.point,
                            controllers,
                        });
                    }
                }
                b"cgroup2" => unified = Some(mount.point),
                _ => {}
            }
        }
        match (unified, legacy) {
            (Some(point), legacy) if !legacy.iter().any(Hierarchy::has_controllers) => {
                Self::Unified(point)
            }
            (_, legacy) if !legacy.is_empty() => Self::Legacy(legacy),
            _ => Self::Absent,
        }
    }

    /// Whether a controller can be used, by its v2 name (`io`) where the two differ.
    pub fn has_controller(&self, name: &str) -> bool {
        match self {
            Self::Absent => false,
            Self::Legacy(list) => {
                let name = if name == "io" { "blkio" } else { name };
                list.iter().any(|hierarchy| hierarchy.has(name))
            }
            Self::Unified(root) => match name {
                // These are no controllers there, but properties of every group.
                "freezer" | "devices" | "cpuacct" => true,
                _ => std::fs::read_to_string(root.join("cgroup.controllers"))
                    .is_ok_and(|list| list.split_whitespace().any(|controller| controller == name)),
            },
        }
    }
}

impl Hierarchy {
    fn has_controllers(&self) -> bool {
        self.controllers
            .iter()
            .any(|controller| !controller.starts_with("name="))
    }
}

/// The controllers among a v1 hierarchy's options, without `rw`, `xattr`, `release_agent=` …
pub(super) fn controllers(options: &[u8]) -> Vec<String> {
    const OPTIONS: [&str; 10] = [
        "rw",
        "ro",
        "xattr",
        "noprefix",
        "clone_children",
        "none",
        "favordynmods",
        "nofavordynmods",
        "cpuset_v2_mode",
        "all",
    ];
    String::from_utf8_lossy(options)
        .split(',')
        .filter(|option| !option.starts_with("release_agent=") && !OPTIONS.contains(option))
        .map(str::to_owned)
        .collect()
}

/// Which kind of hierarchies this system has.
pub fn detect() -> Mode {
    match Hierarchies::detect() {
        Hierarchies::Absent => Mode::Absent,
        Hierarchies::Unified(_) => Mode::V2,
        Hierarchies::Legacy(_) => {
            if is_unified(&Path::new(ROOT).join("unified")) {
                Mode::Hybrid
            } else {
                Mode::V1
            }
        }
    }
}

/// Whether the unified hierarchy stands in the usual place alone.
pub(super) fn only_unified() -> bool {
    is_unified(Path::new(ROOT))
}

fn is_unified(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &[u8] = b"\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n\
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn a_hybrid_system_is_used_as_v1() {
        let Hierarchies::Legacy(list) = Hierarchies::from_mounts(HYBRID) else {
            panic!("not v1");
        };
        assert_eq!(list.len(), 3);
        assert_eq!(list[0].folder_name(), "cpu,cpuacct");
        assert_eq!(list[2].options(), "none,name=systemd");
    }

    #[test]
    fn a_named_hierarchy_beside_the_unified_one_does_not_make_it_v1() {
        let systemd = HYBRID
            .split(|b| *b == b'\n')
            .skip(2)
            .collect::<Vec<_>>()
            .join(&b'\n');
        assert_eq!(
            Hierarchies::from_mounts(&systemd),
            Hierarchies::Unified("/sys/fs/cgroup/unified".into())
        );
        assert_eq!(Hierarchies::from_mounts(b""), Hierarchies::Absent);
    }
}
