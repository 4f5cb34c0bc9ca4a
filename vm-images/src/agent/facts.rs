//! What a machine is, in its own words.

use std::fs;
use std::num::NonZero;
use std::thread;

use matrix::axis::CgroupMode;
use nix::sys::statfs::{self, CGROUP2_SUPER_MAGIC, TMPFS_MAGIC};
use nix::sys::utsname::{UtsName, uname};

use super::message::{Facts, PROTOCOL};

/// Where the init process leaves what went wrong, a line each, for the agent to tell.
pub(super) const WARNINGS: &str = "/run/seaworthy-warnings";

/// Gathers the facts. What can't be found out is left empty: an agent must be able to answer
/// on a machine in any state.
pub(super) fn gather() -> Facts {
    let text = |value: Option<&std::ffi::OsStr>| {
        value.map_or_else(String::new, |v| v.to_string_lossy().into_owned())
    };
    let name = uname().ok();
    Facts {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        release: text(name.as_ref().map(UtsName::release)),
        machine: text(name.as_ref().map(UtsName::machine)),
        hostname: text(name.as_ref().map(UtsName::nodename)),
        cpus: thread::available_parallelism().map_or(1, |count| {
            u32::try_from(NonZero::get(count)).unwrap_or(u32::MAX)
        }),
        memory_kib: fs::read_to_string("/proc/meminfo").map_or(0, |text| memory_kib(&text)),
        uptime_ms: fs::read_to_string("/proc/uptime").map_or(0, |text| uptime_ms(&text)),
        cgroup: cgroup_mode(),
        filesystems: fs::read_to_string("/proc/filesystems")
            .map_or_else(|_| Vec::new(), |text| filesystems(&text)),
        warnings: fs::read_to_string(WARNINGS).map_or_else(
            |_| Vec::new(),
            |text| text.lines().map(str::to_owned).collect(),
        ),
    }
}

/// `MemTotal` of `/proc/meminfo`.
fn memory_kib(meminfo: &str) -> u64 {
    meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// The first number of `/proc/uptime`, which has two digits after the point.
fn uptime_ms(uptime: &str) -> u64 {
    let first = uptime.split_whitespace().next().unwrap_or("");
    let (seconds, hundredths) = first.split_once('.').unwrap_or((first, "0"));
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    number(seconds) * 1000 + number(hundredths) * 10
}

fn filesystems(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| line.split('\t').nth(1));
    names.map(str::to_owned).collect()
}

/// By the file system on `/sys/fs/cgroup`, as systemd and every engine do it.
pub(super) fn cgroup_mode() -> Option<CgroupMode> {
    let kind = statfs::statfs("/sys/fs/cgroup").ok()?.filesystem_type();
    if kind == CGROUP2_SUPER_MAGIC {
        return Some(CgroupMode::V2);
    }
    if kind != TMPFS_MAGIC {
        return None;
    }
    let unified = statfs::statfs("/sys/fs/cgroup/unified").ok();
    Some(match unified.map(|stat| stat.filesystem_type()) {
        Some(kind) if kind == CGROUP2_SUPER_MAGIC => CgroupMode::Hybrid,
        Some(_) | None => CgroupMode::V1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_proc_says() {
        assert_eq!(
            memory_kib("MemTotal:        2048 kB\nMemFree: 1 kB\n"),
            2048
        );
        assert_eq!(uptime_ms("1.37 0.98\n"), 1370);
        assert_eq!(filesystems("nodev\tsysfs\n\text4\n"), ["sysfs", "ext4"]);
    }

    #[test]
    fn a_proc_without_content_gives_no_nonsense() {
        assert_eq!(memory_kib(""), 0);
        assert_eq!(uptime_ms(""), 0);
        assert!(filesystems("").is_empty());
    }
}
