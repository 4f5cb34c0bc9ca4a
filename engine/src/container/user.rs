//! Who a container's process is: `--user` against the container's own `/etc/passwd` and
//! `/etc/group`.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::Error;
use crate::sys::in_root;

/// A user as the kernel knows one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// Home folder.
    pub home: String,
}

/// Images are foreign: no more than this much of a file is read.
const MAX_FILE: u64 = 4 << 20;
/// The kernel's ids are 32 bits; Docker, and many tools inside, take 31.
const MAX_ID: u32 = u32::MAX / 2;

impl Identity {
    /// Reads both files below `root`, the open root folder of the container, without following a
    /// link out of it, and looks up `user`: `NAME|UID[:GROUP|GID]`, or nothing for root.
    ///
    /// # Errors
    /// [`Error::UnknownUser`] for a name that is not there, or a number out of range.
    pub fn look_up(root: BorrowedFd<'_>, user: &str) -> Result<Self, Error> {
        let read = |file| read(root, file).map_err(Error::io("read the container's", file));
        Self::from_files(user, &read("/etc/passwd")?, &read("/etc/group")?)
    }

    /// The same with further groups, by number or by the container's own names.
    ///
    /// # Errors
    /// [`Error::UnknownUser`].
    pub fn with_groups(mut self, root: BorrowedFd<'_>, groups: &[String]) -> Result<Self, Error> {
        if groups.is_empty() {
            return Ok(self);
        }
        let known = read(root, "/etc/group");
        let known = known.map_err(Error::io("read the container's", "/etc/group"))?;
        for group in groups {
            let gid = group_id(group, &known)?;
            if !self.groups.contains(&gid) {
                self.groups.push(gid);
            }
        }
        Ok(self)
    }

    /// The same from the files' contents. By libcontainer's rules: a number need not be in the
    /// files, and further groups are taken only when no group was named.
    pub(super) fn from_files(user: &str, passwd: &str, group: &str) -> Result<Self, Error> {
        let (name, group_name) = match user.split_once(':') {
            Some((name, group)) => (name, Some(group).filter(|group| !group.is_empty())),
            None => (user, None),
        };
        let name = if name.is_empty() { "0" } else { name };
        let number = number(name);
        let entry = passwd
            .lines()
            .filter_map(Entry::parse)
            .find(|entry| entry.name == name || number.is_some_and(|number| entry.id == number));
        let uid = entry.as_ref().map(|entry| entry.id).or(number);
        let uid = uid
            .filter(|&uid| uid <= MAX_ID)
            .ok_or_else(|| Error::UnknownUser {
                what: "user",
                name: name.to_owned(),
                file: "/etc/passwd",
            })?;
        // passwd: name:password:uid:gid:comment:home:shell
        let mut gid = match entry.as_ref().and_then(|entry| entry.rest(0)) {
            Some(text) => text
                .parse()
                .ok()
                .map(|gid| in_range(gid, "/etc/passwd"))
                .transpose()?,
            None => None,
        };
        let home = entry.as_ref().and_then(|entry| entry.rest(2));
        let home = home
            .filter(|home| !home.is_empty())
            .unwrap_or("/")
            .to_owned();
        let mut groups = Vec::new();
        if let Some(wanted) = group_name {
            gid = Some(group_id(wanted, group)?);
        } else if let Some(entry) = &entry {
            // group: name:password:gid:members
            let is_member = |group: &Entry<'_>| {
                group
                    .rest(0)
                    .is_some_and(|members| members.split(',').any(|m| m == entry.name))
            };
            let all = group.lines().filter_map(Entry::parse);
            groups = all
                .filter(is_member)
                .map(|group| in_range(group.id, "/etc/group"))
                .collect::<Result<_, _>>()?;
        }
        Ok(Self {
            uid,
            gid: gid.unwrap_or(0),
            groups,
            home,
        })
    }
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

fn group_id(wanted: &str, group: &str) -> Result<u32, Error> {
    let entry = group
        .lines()
        .filter_map(Entry::parse)
        .find(|entry| entry.name == wanted);
    let gid = entry.map(|entry| entry.id).or_else(|| number(wanted));
    gid.filter(|&gid| gid <= MAX_ID)
        .ok_or_else(|| Error::UnknownUser {
            what: "group",
            name: wanted.to_owned(),
            file: "/etc/group",
        })
}

/// A group of the image's files, if processes can be in it.
fn in_range(gid: u32, file: &'static str) -> Result<u32, Error> {
    if gid > MAX_ID {
        return Err(Error::UnknownUser {
            what: "group",
            name: gid.to_string(),
            file,
        });
    }
    Ok(gid)
}

/// A line of either file: name, id, and the fields behind the id.
struct Entry<'a> {
    name: &'a str,
    id: u32,
    rest: Vec<&'a str>,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let id = fields.nth(1)?.parse().ok()?;
        Some(Self {
            name,
            id,
            rest: fields.collect(),
        })
    }

    fn rest(&self, index: usize) -> Option<&'a str> {
        self.rest.get(index).copied()
    }
}

/// A file of the container; an absent one is empty, and what is no plain file is absent.
fn read(root: BorrowedFd<'_>, path: &str) -> io::Result<String> {
    // Without O_NONBLOCK a pipe of that name would hold us for ever.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = match in_root::open(root, Path::new(path), flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(nix::Error::ENOENT | nix::Error::ENOTDIR | nix::Error::ELOOP | nix::Error::ENXIO) => {
            return Ok(String::new());
        }
        Err(errno) => return Err(errno.into()),
    };
    if !file.metadata()?.is_file() {
        return Ok(String::new());
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:Web:/srv:/bin/false\nbroken\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root,web\nlogs:x:40:web\n";

    fn look_up(user: &str) -> Result<Identity, Error> {
        Identity::from_files(user, PASSWD, GROUP)
    }

    #[test]
    fn nobody_named_is_root_with_roots_groups_and_home() {
        let root = look_up("").unwrap();
        assert_eq!((root.uid, root.gid, root.home.as_str()), (0, 0, "/root"));
        assert_eq!(root.groups, [10]);
    }

    #[test]
    fn a_name_brings_its_group_and_further_groups() {
        let web = look_up("web").unwrap();
        assert_eq!((web.uid, web.gid, web.home.as_str()), (33, 34, "/srv"));
        assert_eq!(web.groups, [10, 40]);
    }

    #[test]
    fn a_named_group_is_the_only_one() {
        let web = look_up("web:logs").unwrap();
        assert_eq!((web.gid, web.groups), (40, vec![]));
        assert_eq!(look_up("33:99").unwrap().gid, 99);
    }

    #[test]
    fn a_number_need_not_be_known() {
        let somebody = look_up("1000").unwrap();
        assert_eq!(
            (somebody.uid, somebody.gid, somebody.home.as_str()),
            (1000, 0, "/")
        );
        assert_eq!(Identity::from_files("5:6", "", "").unwrap().gid, 6);
    }

    #[test]
    fn unknown_names_and_numbers_out_of_range_are_refused() {
        for user in ["nobody", "web:nobody", "4294967295", "-1", "0:4294967296"] {
            assert!(
                matches!(look_up(user), Err(Error::UnknownUser { .. })),
                "{user}"
            );
        }
    }
}
