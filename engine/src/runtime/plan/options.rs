//! Mount options as mount(8) and the runtime specification write them.

use nix::mount::MsFlags;

use crate::sys::mount::{
    ATTR_ATIME, ATTR_NOATIME, ATTR_NODEV, ATTR_NODIRATIME, ATTR_NOEXEC, ATTR_NOSUID,
    ATTR_NOSYMFOLLOW, ATTR_RDONLY, ATTR_RELATIME, ATTR_STRICTATIME, Attributes, Depth,
};

/// A mount's options, sorted by what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    /// Flags for mount(2).
    pub(super) flags: MsFlags,
    /// A bind mount, and of how much.
    pub(super) bind: Option<Depth>,
    /// Attributes of this mount alone.
    pub(super) attributes: Attributes,
    /// Attributes of this mount and all below (`rro` …; Linux 5.12).
    pub(super) recursive: Attributes,
    pub(super) propagation: Vec<MsFlags>,
    /// Whether its files look as if they were other users', and of how much (Linux 5.12).
    pub(super) idmap: Option<Depth>,
    /// What the file system itself understands, comma-separated.
    pub(super) data: String,
}

/// Options that runtimes give a meaning of their own, and that are not done here.
const REFUSED: [&str; 2] = ["tmpcopyup", "copy-symlink"];

/// The options that have a meaning here; others are for the file system.
pub const MOUNT_OPTIONS: [&str; 59] = [
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "idmap",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "rexec",
    "ridmap",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "sync",
    "unbindable",
];

/// Sorts options; `Err` names one that is not supported.
pub(super) fn parse<'a>(options: impl Iterator<Item = &'a str>) -> Result<Options, &'a str> {
    let mut sorted = Options {
        flags: MsFlags::empty(),
        bind: None,
        attributes: Attributes::default(),
        recursive: Attributes::default(),
        propagation: Vec::new(),
        idmap: None,
        data: String::new(),
    };
    for option in options {
        if REFUSED.contains(&option) {
            return Err(option);
        }
        sorted.add(option);
    }
    Ok(sorted)
}

impl Options {
    fn add(&mut self, option: &str) {
        match option {
            "defaults" => {}
            "bind" => self.bind = Some(self.bind.unwrap_or(Depth::Single)),
            "rbind" => self.bind = Some(Depth::Recursive),
            "idmap" => self.idmap = Some(self.idmap.unwrap_or(Depth::Single)),
            "ridmap" => self.idmap = Some(Depth::Recursive),
            _ => {
                if let Some(flags) = propagation(option) {
                    self.propagation.push(flags);
                } else if let Some((flags, attributes)) = attribute(option) {
                    apply(&mut self.attributes, attributes);
                    // Setting and clearing alternate as the options come: the last one counts.
                    self.flags.remove(flags.1);
                    self.flags.insert(flags.0);
                } else if let Some((_, attributes)) = option.strip_prefix('r').and_then(attribute) {
                    apply(&mut self.recursive, attributes);
                } else if let Some(flag) = superblock_flag(option) {
                    self.flags.insert(flag);
                } else if !matches!(
                    option,
                    "async" | "nomand" | "loud" | "noiversion" | "nolazytime"
                ) {
                    if !self.data.is_empty() {
                        self.data.push(',');
                    }
                    self.data.push_str(option);
                }
            }
        }
    }
}

fn apply(to: &mut Attributes, add: Attributes) {
    to.set = (to.set & !add.clear) | add.set;
    to.clear = (to.clear & !add.set) | add.clear;
}

/// `shared`, `rslave` …
pub(super) fn propagation(name: &str) -> Option<MsFlags> {
    let (base, depth) = match name.strip_prefix('r') {
        Some(base) => (base, MsFlags::MS_REC),
        None => (name, MsFlags::empty()),
    };
    let flag = match base {
        "private" => MsFlags::MS_PRIVATE,
        "slave" => MsFlags::MS_SLAVE,
        "shared" => MsFlags::MS_SHARED,
        "unbindable" => MsFlags::MS_UNBINDABLE,
        _ => return None,
    };
    Some(flag | depth)
}

/// Flags to set and to clear, and the same as attributes.
fn attribute(option: &str) -> Option<((MsFlags, MsFlags), Attributes)> {
    let none = MsFlags::empty();
    let times = MsFlags::MS_NOATIME | MsFlags::MS_RELATIME | MsFlags::MS_STRICTATIME;
    let set = |flag, bit| ((flag, MsFlags::empty()), Attributes { set: bit, clear: 0 });
    let clear = |flag, bit| ((MsFlags::empty(), flag), Attributes { set: 0, clear: bit });
    let time = |flag: MsFlags, bit| {
        (
            (flag, times - flag),
            Attributes {
                set: bit,
                clear: ATTR_ATIME,
            },
        )
    };
    Some(match option {
        "ro" => set(MsFlags::MS_RDONLY, ATTR_RDONLY),
        "rw" => clear(MsFlags::MS_RDONLY, ATTR_RDONLY),
        "nosuid" => set(MsFlags::MS_NOSUID, ATTR_NOSUID),
        "suid" => clear(MsFlags::MS_NOSUID, ATTR_NOSUID),
        "nodev" => set(MsFlags::MS_NODEV, ATTR_NODEV),
        "dev" => clear(MsFlags::MS_NODEV, ATTR_NODEV),
        "noexec" => set(MsFlags::MS_NOEXEC, ATTR_NOEXEC),
        "exec" => clear(MsFlags::MS_NOEXEC, ATTR_NOEXEC),
        "nodiratime" => set(MsFlags::MS_NODIRATIME, ATTR_NODIRATIME),
        "diratime" => clear(MsFlags::MS_NODIRATIME, ATTR_NODIRATIME),
        "nosymfollow" => set(MsFlags::from_bits_retain(0x100), ATTR_NOSYMFOLLOW),
        "symfollow" => clear(MsFlags::from_bits_retain(0x100), ATTR_NOSYMFOLLOW),
        "noatime" => time(MsFlags::MS_NOATIME, ATTR_NOATIME),
        "strictatime" => time(MsFlags::MS_STRICTATIME, ATTR_STRICTATIME),
        "relatime" | "atime" | "nostrictatime" | "norelatime" => {
            let flag = if option == "relatime" {
                MsFlags::MS_RELATIME
            } else {
                none
            };
            time(flag, ATTR_RELATIME)
        }
        _ => return None,
    })
}

fn superblock_flag(option: &str) -> Option<MsFlags> {
    Some(match option {
        "sync" => MsFlags::MS_SYNCHRONOUS,
        "dirsync" => MsFlags::MS_DIRSYNC,
        "mand" => MsFlags::MS_MANDLOCK,
        "silent" => MsFlags::MS_SILENT,
        "iversion" => MsFlags::MS_I_VERSION,
        "lazytime" => MsFlags::MS_LAZYTIME,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(options: &str) -> Options {
        parse(options.split(',')).expect("supported")
    }

    #[test]
    fn what_only_the_file_system_knows_becomes_data() {
        let options = sorted("nosuid,strictatime,mode=755,size=65536k");
        assert_eq!(options.flags, MsFlags::MS_NOSUID | MsFlags::MS_STRICTATIME);
        assert_eq!(options.data, "mode=755,size=65536k");
    }

    #[test]
    fn the_last_of_contradicting_options_counts() {
        assert_eq!(sorted("ro,rw").flags, MsFlags::empty());
        assert_eq!(
            sorted("rw,ro").attributes,
            Attributes {
                set: ATTR_RDONLY,
                clear: 0
            }
        );
        assert_eq!(sorted("noatime,relatime").flags, MsFlags::MS_RELATIME);
    }

    #[test]
    fn rbind_ro_keeps_ro_to_the_top_mount_and_rro_does_not() {
        let options = sorted("rbind,ro,rro,rprivate");
        assert_eq!(options.bind, Some(Depth::Recursive));
        assert_eq!(options.recursive.set, ATTR_RDONLY);
        assert_eq!(options.propagation, [MsFlags::MS_PRIVATE | MsFlags::MS_REC]);
    }

    #[test]
    fn no_option_with_a_meaning_goes_to_the_file_system() {
        for option in MOUNT_OPTIONS {
            assert_eq!(sorted(option).data, "", "{option}");
        }
    }

    #[test]
    fn options_with_a_meaning_that_is_not_done_are_named() {
        assert_eq!(parse(["ro", "tmpcopyup"].into_iter()), Err("tmpcopyup"));
    }
}
