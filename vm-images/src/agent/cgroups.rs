//! Control groups, mounted as distributions mount them.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use matrix::axis::CgroupMode;
use nix::mount::{MsFlags, mount};

use super::init::Warnings;

const ROOT: &str = "/sys/fs/cgroup";

/// The flags that systemd gives all of them.
const FLAGS: MsFlags = MsFlags::MS_NOSUID
    .union(MsFlags::MS_NODEV)
    .union(MsFlags::MS_NOEXEC);

/// Controllers that systemd mounts together, each also reachable by a link of its own name.
const TOGETHER: [(&str, &str); 2] = [("cpu", "cpuacct"), ("net_cls", "net_prio")];

/// Mounts all that the kernel offers in this mode. What it lacks becomes a warning: the support
/// check, not the init process, decides what that means.
pub(super) fn mount_all(mode: CgroupMode, warnings: &mut Warnings) {
    match mode {
        CgroupMode::V2 => match mount_one("cgroup2", ROOT, "") {
            Ok(()) => enable_controllers(Path::new(ROOT), warnings),
            Err(error) => warnings.add(format!("can't mount cgroup2: {error}")),
        },
        CgroupMode::V1 => mount_v1(warnings),
        CgroupMode::Hybrid => {
            mount_v1(warnings);
            if let Err(error) = mount_one("cgroup2", "/sys/fs/cgroup/unified", "") {
                warnings.add(format!("can't mount cgroup2: {error}"));
            }
        }
    }
}

fn mount_one(filesystem: &str, target: &str, options: &str) -> io::Result<()> {
    fs::create_dir_all(target)?;
    let options = Some(options).filter(|options| !options.is_empty());
    mount(Some(filesystem), target, Some(filesystem), FLAGS, options)?;
    Ok(())
}

/// Lets child groups use every controller. The processes may stay in the root group: the rule
/// against processes in inner groups exempts it (cgroup-v2.rst, "No Internal Process
/// Constraint").
fn enable_controllers(root: &Path, warnings: &mut Warnings) {
    let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        let control = root.join("cgroup.subtree_control");
        if let Err(error) = fs::write(control, format!("+{controller}")) {
            warnings.add(format!(
                "can't enable the cgroup controller {controller}: {error}"
            ));
        }
    }
}

fn mount_v1(warnings: &mut Warnings) {
    if let Err(error) = mount_one("tmpfs", ROOT, "mode=0755") {
        return warnings.add(format!("can't mount tmpfs on {ROOT}: {error}"));
    }
    let table = fs::read_to_string("/proc/cgroups").unwrap_or_default();
    for group in hierarchies(&table) {
        let name = group.join(",");
        match mount_one("cgroup", &format!("{ROOT}/{name}"), &name) {
            Ok(()) if group.len() > 1 => {
                for controller in group {
                    if let Err(error) = symlink(&name, format!("{ROOT}/{controller}")) {
                        warnings.add(format!("can't link the controller {controller}: {error}"));
                    }
                }
            }
            Ok(()) => {}
            // `/proc/cgroups` also lists controllers whose v1 side is not built in (6.11, 6.12).
            Err(error) => {
                let _empty = fs::remove_dir(format!("{ROOT}/{name}"));
                warnings.add(format!("no v1 controller {name}: {error}"));
            }
        }
    }
    // The hierarchy without controllers that init systems track services in.
    if let Err(error) = mount_one("cgroup", &format!("{ROOT}/systemd"), "none,name=systemd") {
        warnings.add(format!("can't mount the named hierarchy: {error}"));
    }
}

/// The enabled controllers of `/proc/cgroups` (name, hierarchy, groups, enabled), those that go
/// together in one list.
fn hierarchies(table: &str) -> Vec<Vec<&str>> {
    let enabled: Vec<&str> = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut columns = line.split_whitespace();
            let name = columns.next()?;
            (columns.nth(2)? == "1").then_some(name)
        })
        .collect();
    let mut lists = Vec::new();
    for &name in &enabled {
        let pair = TOGETHER
            .iter()
            .find(|(a, b)| name == *a || name == *b)
            .filter(|(a, b)| enabled.contains(a) && enabled.contains(b));
        match pair {
            Some((first, second)) if name == *first => lists.push(vec![*first, *second]),
            Some(_) => {}
            None => lists.push(vec![name]),
        }
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v1_controllers_are_grouped_as_systemd_groups_them() {
        let table = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t0\t1\t1\ncpu\t0\t1\t1\ncpuacct\t0\t1\t1\nmemory\t0\t1\t0\nnet_cls\t0\t1\t1\n";
        assert_eq!(
            hierarchies(table),
            [vec!["cpuset"], vec!["cpu", "cpuacct"], vec!["net_cls"]]
        );
        assert!(hierarchies("").is_empty());
    }
}
