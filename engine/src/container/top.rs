//! The processes of a container, as the host sees them.

use std::fs;
use std::path::Path;

use super::{Container, Error};
use crate::runtime::cgroup::Cgroup;

/// Clock ticks a second in `/proc/PID/stat`: `USER_HZ`, 100 on every architecture of Linux but
/// Alpha.
const TICKS: u64 = 100;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRow {
    /// Who it is on the host: a number.
    pub uid: u32,
    /// Its id on the host.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// Processor time over its life so far, in hundredths.
    pub percent: u64,
    /// When it started, seconds since 1970.
    pub started: i64,
    /// Its terminal, as `ps` shows it; `?`: none.
    pub terminal: String,
    /// Processor time used, seconds.
    pub seconds: u64,
    /// Its command line, or, without one, its name in brackets.
    pub command: String,
}

impl Container {
    /// Ids, on the host, of its processes.
    ///
    /// # Errors
    /// [`Error::NotRunning`].
    pub fn pids(&self) -> Result<Vec<u32>, Error> {
        let first = self.process()?.pid;
        let group = self.cgroup().ok().and_then(|path| Cgroup::open(&path).ok());
        let pids = group.and_then(|group| group.pids().ok());
        // Without a control group the pid namespace tells.
        Ok(pids
            .filter(|pids| !pids.is_empty())
            .unwrap_or_else(|| in_pid_namespace_of(first)))
    }
}

/// The processes in the same pid namespace, this one among them.
pub(crate) fn in_pid_namespace_of(first: u32) -> Vec<u32> {
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let of_first = namespace(first);
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let others = numbers.filter(|pid| *pid != first);
    // Those of others than the container's user do not tell; nor do those that have just ended.
    let same = others.filter(|pid| of_first.is_some() && namespace(*pid) == of_first);
    std::iter::once(first).chain(same).collect()
}

/// These processes; those that end meanwhile are left out.
///
/// # Errors
/// [`Error::Io`] without `/proc`.
pub fn process_rows(pids: &[u32]) -> Result<Vec<ProcessRow>, Error> {
    const STAT: &str = "/proc/stat";
    const UPTIME: &str = "/proc/uptime";
    let stat = fs::read_to_string(STAT).map_err(Error::io("read", STAT))?;
    let uptime = fs::read_to_string(UPTIME).map_err(Error::io("read", UPTIME))?;
    let booted = stat.lines().find_map(|line| line.strip_prefix("btime "));
    let booted: i64 = booted
        .and_then(|seconds| seconds.trim().parse().ok())
        .unwrap_or(0);
    let uptime: u64 = uptime
        .split('.')
        .next()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(0);
    let read = |pid: u32| {
        let folder = Path::new("/proc").join(pid.to_string());
        let file = |name: &str| fs::read_to_string(folder.join(name)).ok();
        // A command line is any bytes.
        let command = fs::read(folder.join("cmdline")).ok()?;
        row(
            pid,
            &file("stat")?,
            &file("status")?,
            &command,
            booted,
            uptime,
        )
    };
    Ok(pids.iter().copied().filter_map(read).collect())
}

fn row(
    pid: u32,
    stat: &str,
    status: &str,
    command: &[u8],
    booted: i64,
    uptime: u64,
) -> Option<ProcessRow> {
    let (before, behind) = stat.rsplit_once(')')?;
    let name = before.split_once('(')?.1;
    // The first field behind the name is the third of proc(5).
    let fields: Vec<&str> = behind.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let ticks = number(14)? + number(15)?;
    let started = number(22)? / TICKS;
    let age = uptime.saturating_sub(started).max(1);
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let command: Vec<_> = command
        .split(|&byte| byte == 0)
        .filter(|word| !word.is_empty())
        .map(String::from_utf8_lossy)
        .collect();
    Some(ProcessRow {
        uid: uid.split_ascii_whitespace().next()?.parse().ok()?,
        pid,
        parent: u32::try_from(number(4)?).ok()?,
        percent: ticks * 100 / TICKS / age,
        started: booted.saturating_add(i64::try_from(started).ok()?),
        terminal: terminal(number(7)?),
        seconds: ticks / TICKS,
        command: if command.is_empty() {
            format!("[{name}]")
        } else {
            command.join(" ")
        },
    })
}

/// The kernel's number of a terminal: minor in bits 0-7 and 20-31, major in bits 8-19.
fn terminal(number: u64) -> String {
    let (major, minor) = (
        (number >> 8) & 0xfff,
        (number & 0xff) | ((number >> 12) & 0xfff00),
    );
    match major {
        0 => "?".to_owned(),
        4 => format!("tty{minor}"),
        // Pseudo terminals have eight majors of 256 each.
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        _ => format!("{major}:{minor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_it_calls_itself() {
        let stat = "7 (a) b) S 3 7 7 34816 7 4194560 1 2 3 4 150 50 7 8 20 0 1 0 1000 2 3";
        let row = row(
            7,
            stat,
            "Name:\tx\nUid:\t33\t33\t33\t33\n",
            b"a\0b c\0",
            1_000,
            30,
        )
        .unwrap();
        let expected = ProcessRow {
            uid: 33,
            pid: 7,
            parent: 3,
            percent: 10,
            started: 1_010,
            terminal: "pts/0".to_owned(),
            seconds: 2,
            command: "a b c".to_owned(),
        };
        assert_eq!(row, expected);
    }

    #[test]
    fn a_process_without_command_line_shows_its_name() {
        let stat = "7 (kworker) S 3 7 7 0 7 0 1 2 3 4 0 0 7 8 20 0 1 0 1000 2 3";
        let row = row(7, stat, "Uid:\t0\t0\t0\t0\n", b"", 0, 30).unwrap();
        assert_eq!(
            (row.command.as_str(), row.terminal.as_str()),
            ("[kworker]", "?")
        );
    }
}
