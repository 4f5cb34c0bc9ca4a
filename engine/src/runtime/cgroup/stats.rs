//! What a group has used.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Error, tree};

/// What a cgroup has used. `None`: the controller or the file is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Memory in use, bytes.
    pub memory_bytes: Option<u64>,
    /// The part of it that holds pages of files which nobody has used for a while: the kernel gives
    /// it back when memory is short, so that it is no use of the container's.
    pub memory_inactive_file_bytes: Option<u64>,
    /// Highest memory use, bytes (v2: kernel 5.19).
    pub memory_peak_bytes: Option<u64>,
    /// Memory limit, bytes; `None` also when there is no limit.
    pub memory_limit_bytes: Option<u64>,
    /// Processor time used, nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Tasks now.
    pub pids: Option<u64>,
    /// Bytes read from and written to block devices, by device `major:minor`.
    pub io_bytes: BTreeMap<String, (u64, u64)>,
}

/// v1 writes "no limit" as the largest page-aligned number.
const NO_LIMIT: u64 = 0x7fff_ffff_ffff_f000;

fn number(folder: &Path, file: &str) -> Result<Option<u64>, Error> {
    Ok(tree::read_if_there(folder, file)?.and_then(|text| text.trim().parse().ok()))
}

fn inactive_file(folder: &Path, key: &str) -> Result<Option<u64>, Error> {
    let text = tree::read_if_there(folder, "memory.stat")?;
    Ok(text.and_then(|text| tree::keyed(&text, key)))
}

impl Stats {
    pub(super) fn unified(folder: &Path) -> Result<Self, Error> {
        let cpu = tree::read_if_there(folder, "cpu.stat")?;
        let io = tree::read_if_there(folder, "io.stat")?.unwrap_or_default();
        Ok(Self {
            memory_bytes: number(folder, "memory.current")?,
            memory_inactive_file_bytes: inactive_file(folder, "inactive_file")?,
            memory_peak_bytes: number(folder, "memory.peak")?,
            memory_limit_bytes: number(folder, "memory.max")?,
            cpu_ns: cpu
                .and_then(|cpu| tree::keyed(&cpu, "usage_usec"))
                .map(|us| us.saturating_mul(1000)),
            pids: number(folder, "pids.current")?,
            io_bytes: unified_io(&io),
        })
    }

    /// Adds what one v1 folder knows; its controllers' files have names of their own.
    pub(super) fn add_legacy(&mut self, folder: &Path, controller: &str) -> Result<(), Error> {
        match controller {
            "memory" => {
                self.memory_bytes = number(folder, "memory.usage_in_bytes")?;
                self.memory_inactive_file_bytes = inactive_file(folder, "total_inactive_file")?;
                self.memory_peak_bytes = number(folder, "memory.max_usage_in_bytes")?;
                self.memory_limit_bytes =
                    number(folder, "memory.limit_in_bytes")?.filter(|limit| *limit < NO_LIMIT);
            }
            "cpuacct" => self.cpu_ns = number(folder, "cpuacct.usage")?,
            "pids" => self.pids = number(folder, "pids.current")?,
            "blkio" => {
                let text = tree::read_if_there(folder, "blkio.throttle.io_service_bytes")?;
                self.io_bytes = legacy_io(&text.unwrap_or_default());
            }
            _ => {}
        }
        Ok(())
    }
}

/// `8:0 rbytes=1 wbytes=2 rios=…`
pub(super) fn unified_io(text: &str) -> BTreeMap<String, (u64, u64)> {
    let line = |line: &str| {
        let (device, rest) = line.split_once(' ')?;
        let value = |key: &str| {
            rest.split(' ')
                .find_map(|field| field.strip_prefix(key)?.parse().ok())
        };
        Some((device.to_owned(), (value("rbytes=")?, value("wbytes=")?)))
    };
    text.lines().filter_map(line).collect()
}

/// `8:0 Read 1`, `8:0 Write 2` …
pub(super) fn legacy_io(text: &str) -> BTreeMap<String, (u64, u64)> {
    let mut devices: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(' ');
        let (Some(device), Some(direction), Some(Ok(bytes))) =
            (fields.next(), fields.next(), fields.next().map(str::parse))
        else {
            continue;
        };
        let (read, written) = devices.entry(device.to_owned()).or_default();
        match direction {
            "Read" => *read = bytes,
            "Write" => *written = bytes,
            _ => {}
        }
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_count_the_same_bytes() {
        let v1 = legacy_io("8:0 Read 10\n8:0 Write 20\n8:0 Sync 30\nTotal 30\n");
        let v2 = unified_io("8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n");
        assert_eq!(v1, v2);
        assert_eq!(v1["8:0"], (10, 20));
    }
}
