//! A container's process as the host sees it.

use std::fs;
use std::path::PathBuf;

use super::case::{Proof, Unproven};
use super::machine::{Controller, Group, Machine};

/// A process by its id on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process(pub(super) i32);

/// One line of a process's mount table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where, as the process sees it.
    pub(super) point: String,
    /// Options of the mount itself (`ro`, `nosuid`, …).
    pub(super) options: Vec<String>,
    /// Propagation and the like (`shared:1`, `master:2`).
    pub(super) optional: Vec<String>,
    /// The file system.
    pub(super) kind: String,
    /// Options of the file system (`size=65536k`, …).
    pub(super) super_options: Vec<String>,
}

/// The namespaces that every container gets of its own.
pub(super) const NAMESPACES: [&str; 6] = ["pid", "mnt", "uts", "ipc", "net", "cgroup"];

impl Process {
    fn path(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0))
    }

    /// The content of `/proc/PID/NAME`.
    pub(super) fn read(self, name: &str) -> Proof<String> {
        fs::read(self.path(name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|error| self.lost(name, &error))
    }

    /// The target of the link `/proc/PID/NAME`.
    pub(super) fn link(self, name: &str) -> Proof<String> {
        fs::read_link(self.path(name))
            .map(|target| target.to_string_lossy().into_owned())
            .map_err(|error| self.lost(name, &error))
    }

    /// The names in the folder `/proc/PID/NAME`, sorted.
    pub(super) fn names(self, name: &str) -> Proof<Vec<String>> {
        let names = fs::read_dir(self.path(name)).and_then(|entries| {
            let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
            names.collect::<std::io::Result<Vec<_>>>()
        });
        let mut names = names.map_err(|error| self.lost(name, &error))?;
        names.sort();
        Ok(names)
    }

    fn lost(self, name: &str, error: &std::io::Error) -> Unproven {
        let what = format!("/proc/{}/{name} of the container's process", self.0);
        Unproven::unread(&what, error)
    }

    /// A field of `/proc/PID/status`.
    pub(super) fn status(self, field: &str) -> Proof<String> {
        let text = self.read("status")?;
        text.lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .map(|value| value.trim().to_owned())
            .ok_or_else(|| Unproven::Fail(format!("/proc/{}/status has no field {field}", self.0)))
    }

    /// A field of `/proc/PID/status` that is a hexadecimal mask.
    pub(super) fn mask(self, field: &str) -> Proof<u64> {
        let text = self.status(field)?;
        u64::from_str_radix(&text, 16)
            .map_err(|_| Unproven::Fail(format!("{field} is no mask: {text:?}")))
    }

    /// This process.
    pub(super) fn own() -> Self {
        Self(nix::unistd::getpid().as_raw())
    }

    /// Whether it is there and has not ended.
    pub(super) fn runs(self) -> bool {
        self.status("State")
            .is_ok_and(|state| !state.starts_with(['Z', 'X']))
    }

    /// Its direct children.
    pub(super) fn children(self) -> Proof<Vec<Self>> {
        let text = self.read(&format!("task/{}/children", self.0))?;
        Ok(text
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .map(Self)
            .collect())
    }

    /// The other processes of its process-id namespace.
    pub(super) fn neighbours(self) -> Vec<Self> {
        let Ok(own) = self.namespace("pid") else {
            return Vec::new();
        };
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Self))
            .filter(|other| *other != self && other.namespace("pid").is_ok_and(|its| its == own))
            .collect()
    }

    /// The identity of its namespace of that kind: `pid:[4026531836]`.
    pub(super) fn namespace(self, kind: &str) -> Proof<String> {
        self.link(&format!("ns/{kind}"))
    }

    /// Its mount table.
    pub(super) fn mounts(self) -> Proof<Vec<Mount>> {
        Ok(self
            .read("mountinfo")?
            .lines()
            .filter_map(Mount::parse)
            .collect())
    }

    /// What is mounted last at `point`, which is what is seen there.
    pub(super) fn mount_at(self, point: &str) -> Proof<Mount> {
        self.mounts()?
            .into_iter()
            .rev()
            .find(|mount| mount.point == point)
            .ok_or_else(|| {
                Unproven::Fail(format!("nothing is mounted at {point} in the container"))
            })
    }

    /// The folder of its control group for `controller`.
    pub(super) fn group(self, machine: &Machine, controller: Controller) -> Proof<Group> {
        let text = self.read("cgroup")?;
        machine.group(&text, controller).ok_or_else(|| {
            Unproven::Fail(format!(
                "the container's process is in no {controller:?} group: {text:?}"
            ))
        })
    }

    /// Soft and hard limit of `/proc/PID/limits`, by the line's beginning.
    pub(super) fn limit(self, name: &str) -> Proof<(String, String)> {
        let text = self.read("limits")?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let mut words = line
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned);
        words
            .next()
            .zip(words.next())
            .ok_or_else(|| Unproven::Fail(format!("/proc/{}/limits has no line {name:?}", self.0)))
    }
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(4);
        let list = |text: &str| text.split(',').map(str::to_owned).collect();
        let point = left.next()?.to_owned();
        let options = list(left.next()?);
        let optional = left.map(str::to_owned).collect();
        let mut right = right.split(' ');
        let kind = right.next()?.to_owned();
        let super_options = list(right.nth(1).unwrap_or_default());
        Some(Self {
            point,
            options,
            optional,
            kind,
            super_options,
        })
    }

    /// Whether the mount itself has the option.
    pub(super) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|own| own == option)
    }

    /// Whether nothing can be written through it.
    pub(super) fn is_read_only(&self) -> bool {
        self.has("ro") || self.super_options.iter().any(|own| own == "ro")
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn a_mount_line_is_read_whole() {
        let line =
            "36 35 98:0 /sub /mnt ro,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue";
        let mount = Mount::parse(line).unwrap();
        assert_eq!(
            (mount.point.as_str(), mount.kind.as_str()),
            ("/mnt", "ext3")
        );
        assert!(mount.is_read_only() && mount.has("noatime") && !mount.has("rw"));
        assert_eq!(mount.optional, ["master:1", "shared:2"]);
        assert_eq!(mount.super_options, ["rw", "errors=continue"]);
    }

    #[test]
    fn what_is_gone_is_the_engines_loss_and_what_cannot_be_read_nobodys() {
        let gone = Process(i32::MAX).names("fd").unwrap_err();
        assert!(matches!(gone, Unproven::Fail(_)), "{gone}");
        for (errno, is_the_engines) in [
            (Errno::ESRCH, true),
            (Errno::ENODEV, true),
            (Errno::EMFILE, false),
            (Errno::EIO, false),
        ] {
            let unread = Unproven::unread("it", &errno.into());
            assert_eq!(matches!(unread, Unproven::Fail(_)), is_the_engines);
        }
        assert!(
            Process::own()
                .names("fd")
                .unwrap()
                .contains(&"0".to_owned())
        );
    }

    #[test]
    fn this_process_is_seen() {
        let me = Process::own();
        assert!(me.runs());
        assert!(me.namespace("pid").unwrap().starts_with("pid:["));
        assert!(me.limit("Max open files").is_ok());
        assert!(!Process(i32::MAX).runs());
    }
}
