//! What a running container uses.

use std::fs;

use super::{Container, Error};
use crate::runtime;
use crate::runtime::cgroup::Cgroup;

/// What a container has used so far. `None`: this system does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Processor time, nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Memory that it needs: without pages of files that can be dropped.
    pub memory_bytes: Option<u64>,
    /// Memory that it may have: its limit, or all that the machine has.
    pub memory_limit_bytes: u64,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Read from and written to disks.
    pub disk_bytes: (u64, u64),
    /// Received and sent over networks, loopback left out.
    pub network_bytes: (u64, u64),
}

impl Container {
    /// Reads it.
    ///
    /// # Errors
    /// [`Error::NotRunning`]; [`Error::Runtime`] without control groups.
    pub fn usage(&self) -> Result<Usage, Error> {
        const MEMORY: &str = "/proc/meminfo";
        let pid = self.process()?.pid;
        let group = Cgroup::open(&self.cgroup()?);
        let stats = group
            .and_then(|group| group.stats())
            .map_err(|error| Error::Runtime(runtime::Error::from(error)))?;
        let machine = fs::read_to_string(MEMORY).map_err(Error::io("read", MEMORY))?;
        let machine = total_memory(&machine);
        let reclaimable = stats.memory_inactive_file_bytes.unwrap_or(0);
        // Its end may come between.
        let devices = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
        let disks = stats.io_bytes.values();
        Ok(Usage {
            cpu_ns: stats.cpu_ns,
            memory_bytes: stats
                .memory_bytes
                .map(|bytes| bytes.saturating_sub(reclaimable)),
            memory_limit_bytes: stats.memory_limit_bytes.unwrap_or(machine).min(machine),
            pids: stats.pids,
            disk_bytes: disks.fold((0, 0), |sum, disk| (sum.0 + disk.0, sum.1 + disk.1)),
            network_bytes: network_bytes(&devices),
        })
    }
}

/// `MemTotal:       16384 kB`, in bytes.
fn total_memory(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The sums of `/proc/PID/net/dev`: after the name eight numbers about what was received, and
/// eight about what was sent, bytes first.
fn network_bytes(text: &str) -> (u64, u64) {
    let device = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<&str> = numbers.split_ascii_whitespace().collect();
        let number = |at: usize| numbers.get(at)?.parse::<u64>().ok();
        (name.trim() != "lo").then_some((number(0)?, number(8)?))
    };
    let devices = text.lines().filter_map(device);
    devices.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_no_network() {
        let text = "Inter-|   Receive        |  Transmit\n face |bytes packets\n    \
                    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  eth0: 70 1 0 0 0 0 0 0 30 1 0 0 0 0 0 0\n";
        assert_eq!(network_bytes(text), (70, 30));
    }

    #[test]
    fn memory_is_told_in_kib() {
        assert_eq!(total_memory("MemFree: 1 kB\nMemTotal:    2 kB\n"), 2048);
    }
}
