//! Which of the host's users those of a user namespace are.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{getegid, geteuid, getuid};

use super::Error;
use super::ranges::{Account, ranges};
use crate::sys::user_namespace::{Users, users};

/// Ids that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// The first, in the namespace.
    pub inside: u32,
    /// The first, outside.
    pub host: u32,
    /// How many.
    pub count: u32,
}

/// The ids of a user namespace to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdMap {
    /// The caller is root, and there is nobody else.
    Single,
    /// More, which only the two programs that are set-user-id may map.
    Ranges {
        /// Users.
        uid: Mapping,
        /// Groups.
        gid: Mapping,
    },
}

/// Ids, and the program that maps them: `newuidmap` or `newgidmap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The ids.
    pub ranges: Vec<IdRange>,
    /// Its path.
    pub program: PathBuf,
}

impl IdMap {
    /// The widest map that the caller may have: their own id as root, and their ranges where they
    /// have some and both programs are there.
    pub fn of_caller() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let passwd = read("/etc/passwd");
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        // The programs serve nobody who is not in there.
        let Some(Account { name, .. }) = Account::find(&passwd, uid) else {
            return Self::Single;
        };
        let with_own = |id, more: Vec<IdRange>| {
            let own = IdRange {
                inside: 0,
                host: id,
                count: 1,
            };
            std::iter::once(own).chain(more).collect::<Vec<_>>()
        };
        let more = (
            ranges(&read("/etc/subuid"), name, uid),
            ranges(&read("/etc/subgid"), name, uid),
        );
        if more.0.is_empty() || more.1.is_empty() {
            return Self::Single;
        }
        Self::of_ranges(with_own(uid, more.0), with_own(gid, more.1))
    }

    /// These ids and no others.
    ///
    /// # Errors
    /// [`Error::Map`] for more than the caller's own, without the programs that map them.
    pub fn exactly(uid: Vec<IdRange>, gid: Vec<IdRange>) -> Result<Self, Error> {
        let own = |host| IdRange {
            inside: 0,
            host,
            count: 1,
        };
        if uid == [own(geteuid().as_raw())] && gid == [own(getegid().as_raw())] {
            return Ok(Self::Single);
        }
        match Self::of_ranges(uid, gid) {
            Self::Single => Err(Error::Map {
                why: "only newuidmap and newgidmap can map other ids than the user's own; install \
                      the package `uidmap`, or map id 0 to this user and nothing else"
                    .to_owned(),
            }),
            ranges @ Self::Ranges { .. } => Ok(ranges),
        }
    }

    /// These ranges; without the programs the caller alone.
    fn of_ranges(uid: Vec<IdRange>, gid: Vec<IdRange>) -> Self {
        match (program("newuidmap"), program("newgidmap")) {
            (Some(of_users), Some(of_groups)) => Self::Ranges {
                uid: Mapping {
                    ranges: uid,
                    program: of_users,
                },
                gid: Mapping {
                    ranges: gid,
                    program: of_groups,
                },
            },
            _ => Self::Single,
        }
    }
}

/// A program in `PATH`.
fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let executable = |path: &Path| {
        fs::metadata(path)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(OsStr::new(name)))
        .find(|path| executable(path))
}

/// The map of users that this process lives with, a range each; `None` in the host's namespace.
pub fn id_map() -> Option<Vec<IdRange>> {
    if users() == Users::Hosts {
        return None;
    }
    Some(parse(
        &fs::read_to_string("/proc/self/uid_map").unwrap_or_default(),
    ))
}

/// Who runs this process, as the host knows them.
pub fn host_uid() -> u32 {
    let uid = getuid().as_raw();
    let outside = |range: IdRange| {
        let offset = uid.checked_sub(range.inside)?;
        (offset < range.count).then_some(range.host + offset)
    };
    let mut ranges = id_map().unwrap_or_default().into_iter();
    ranges.find_map(outside).unwrap_or(uid)
}

/// `/proc/PID/uid_map`.
fn parse(text: &str) -> Vec<IdRange> {
    let range = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse);
        Some(IdRange {
            inside: numbers.next()?.ok()?,
            host: numbers.next()?.ok()?,
            count: numbers.next()?.ok()?,
        })
    };
    text.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_understood() {
        let text = "         0       1000          1\n         1     100000      65536\n";
        let map = parse(text);
        assert_eq!(map.len(), 2);
        assert_eq!(
            (map[1].inside, map[1].host, map[1].count),
            (1, 100_000, 65_536)
        );
    }

    #[test]
    fn tests_run_as_the_hosts_root() {
        assert_eq!(id_map(), None);
    }
}
