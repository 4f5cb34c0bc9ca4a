//! What this machine is: for `run.json`, and for plans that are made for it.

use std::fs;
use std::path::Path;

use matrix::arch::Arch;
use matrix::axis::CgroupMode;
use matrix::plan::System;
use matrix::version::KernelVersion;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::sys::utsname::uname;

use super::facts::HostFacts;

/// Why this machine can't be described.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// `uname` says something that the matrix has no name for.
    #[error("this machine's {what} is `{found}`, which the matrix does not know")]
    Unknown {
        /// `kernel` or `architecture`.
        what: &'static str,
        /// What it is.
        found: String,
    },
    /// `uname` itself fails.
    #[error("this machine does not say what it is")]
    Uname(#[source] nix::Error),
}

impl HostFacts {
    /// Describes this machine.
    ///
    /// # Errors
    /// It does not say what it is.
    pub fn of_this_machine() -> Result<Self, HostError> {
        let uname = uname().map_err(HostError::Uname)?;
        let release = read(Path::new("/etc/os-release"));
        let machine = uname.machine().to_string_lossy();
        Ok(Self {
            system: os_release(&release, "PRETTY_NAME").unwrap_or_else(|| "unknown".to_owned()),
            kernel_release: uname.release().to_string_lossy().into_owned(),
            arch: Arch::from_name(&machine).map_or(machine.into_owned(), |a| a.name().to_owned()),
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
            memory_mib: memory_mib(&read(Path::new("/proc/meminfo")), "MemTotal"),
        })
    }
}

/// This machine as a system that a plan can be made for.
///
/// # Errors
/// It does not say what it is, or is something that the matrix does not know.
pub fn this_system() -> Result<System, HostError> {
    let uname = uname().map_err(HostError::Uname)?;
    let release = uname.release().to_string_lossy();
    let machine = uname.machine().to_string_lossy();
    let os_release_text = read(Path::new("/etc/os-release"));
    let version: KernelVersion = release.parse().map_err(|_| HostError::Unknown {
        what: "kernel",
        found: release.to_string(),
    })?;
    Ok(System {
        distro: os_release(&os_release_text, "ID").unwrap_or_else(|| "linux".to_owned()),
        release: os_release(&os_release_text, "VERSION_ID").unwrap_or_default(),
        kernel: version.series().to_string(),
        arch: Arch::from_name(&machine).ok_or_else(|| HostError::Unknown {
            what: "architecture",
            found: machine.to_string(),
        })?,
        cgroup: cgroup_mode(Path::new("/sys/fs/cgroup")),
    })
}

/// Memory that new processes could use without swapping, in MiB; 0 if the kernel doesn't say.
pub(crate) fn available_memory_mib() -> u64 {
    memory_mib(&read(Path::new("/proc/meminfo")), "MemAvailable")
}

/// How control groups are mounted at `root`.
fn cgroup_mode(root: &Path) -> CgroupMode {
    let is_unified =
        |path: &Path| statfs(path).is_ok_and(|fs| fs.filesystem_type() == CGROUP2_SUPER_MAGIC);
    if is_unified(root) {
        CgroupMode::V2
    } else if is_unified(&root.join("unified")) {
        CgroupMode::Hybrid
    } else {
        CgroupMode::V1
    }
}

/// A value of `/etc/os-release`. Source: os-release(5); values are quoted as a shell would.
fn os_release(text: &str, name: &str) -> Option<String> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?
        .trim();
    let unquoted = ['"', '\'']
        .iter()
        .find_map(|&quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value);
    (!unquoted.is_empty()).then(|| unquoted.to_owned())
}

fn memory_mib(meminfo: &str, name: &str) -> u64 {
    meminfo
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}

/// A file that may be absent; what it would say is then unknown.
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_values_may_be_quoted() {
        let text =
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID='12'\nBUILD=\n";
        assert_eq!(
            os_release(text, "PRETTY_NAME").unwrap(),
            "Debian GNU/Linux 12 (bookworm)"
        );
        assert_eq!(os_release(text, "ID").unwrap(), "debian");
        assert_eq!(os_release(text, "VERSION_ID").unwrap(), "12");
        assert_eq!(os_release(text, "BUILD"), None);
        assert_eq!(os_release(text, "VERSION"), None);
    }

    #[test]
    fn memory_is_read_in_mib() {
        let meminfo = "MemTotal:       16384 kB\nMemFree: 1 kB\nMemAvailable:    8192 kB\n";
        assert_eq!(memory_mib(meminfo, "MemTotal"), 16);
        assert_eq!(memory_mib(meminfo, "MemAvailable"), 8);
        assert_eq!(memory_mib("", "MemTotal"), 0);
    }

    #[test]
    fn a_folder_without_cgroups_has_no_unified_hierarchy() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(cgroup_mode(dir.path()), CgroupMode::V1);
    }
}
