//! `--cap-add` and `--cap-drop`.

use std::str::FromStr;

use oci_spec::runtime::{Capabilities, Capability};
use serde::{Deserialize, Serialize};

use super::Malformed;

/// What one `--cap-add` or `--cap-drop` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapabilityChange {
    /// `ALL`
    All,
    /// One, with or without `CAP_`.
    One(Capability),
}

/// All that this version knows, in the kernel's order.
const ALL: [Capability; 41] = {
    use Capability as C;
    [
        C::Chown,
        C::DacOverride,
        C::DacReadSearch,
        C::Fowner,
        C::Fsetid,
        C::Kill,
        C::Setgid,
        C::Setuid,
        C::Setpcap,
        C::LinuxImmutable,
        C::NetBindService,
        C::NetBroadcast,
        C::NetAdmin,
        C::NetRaw,
        C::IpcLock,
        C::IpcOwner,
        C::SysModule,
        C::SysRawio,
        C::SysChroot,
        C::SysPtrace,
        C::SysPacct,
        C::SysAdmin,
        C::SysBoot,
        C::SysNice,
        C::SysResource,
        C::SysTime,
        C::SysTtyConfig,
        C::Mknod,
        C::Lease,
        C::AuditWrite,
        C::AuditControl,
        C::Setfcap,
        C::MacOverride,
        C::MacAdmin,
        C::Syslog,
        C::WakeAlarm,
        C::BlockSuspend,
        C::AuditRead,
        C::Perfmon,
        C::Bpf,
        C::CheckpointRestore,
    ]
};

/// Docker's default set, unchanged since 2014.
pub fn default_capabilities() -> Capabilities {
    use Capability as C;
    Capabilities::from([
        C::AuditWrite,
        C::Chown,
        C::DacOverride,
        C::Fowner,
        C::Fsetid,
        C::Kill,
        C::Mknod,
        C::NetBindService,
        C::NetRaw,
        C::Setfcap,
        C::Setgid,
        C::Setpcap,
        C::Setuid,
        C::SysChroot,
    ])
}

/// The capabilities in a mask as `/proc/PID/status` shows it. What this version does not know is
/// left out.
pub fn capabilities_in(mask: u64) -> Capabilities {
    let bits = ALL.into_iter().enumerate();
    bits.filter(|(bit, _)| mask >> bit & 1 == 1)
        .map(|(_, capability)| capability)
        .collect()
}

/// The set that comes of the defaults and the flags, as Docker combines them: `--cap-add ALL`
/// starts from `all` that there are, `--cap-drop ALL` from none; single additions and removals
/// follow, and a removal wins.
pub fn effective_capabilities(
    add: &[CapabilityChange],
    drop: &[CapabilityChange],
    all: &Capabilities,
) -> Capabilities {
    let all_dropped = drop.contains(&CapabilityChange::All);
    let mut set = if add.contains(&CapabilityChange::All) {
        all.clone()
    } else if all_dropped {
        Capabilities::new()
    } else {
        default_capabilities()
    };
    set.extend(add.iter().filter_map(|change| change.one()));
    for capability in drop.iter().filter_map(|change| change.one()) {
        set.remove(&capability);
    }
    set
}

impl CapabilityChange {
    fn one(self) -> Option<Capability> {
        match self {
            Self::All => None,
            Self::One(capability) => Some(capability),
        }
    }
}

impl FromStr for CapabilityChange {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let upper = text.to_ascii_uppercase();
        if upper == "ALL" {
            return Ok(Self::All);
        }
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        Capability::from_str(name).map(Self::One).map_err(|_| {
            Malformed::new(
                format!("`{text}` is not a capability"),
                "a name such as `NET_ADMIN` or `CAP_SYS_TIME`, or `ALL`",
            )
        })
    }
}

impl std::fmt::Display for CapabilityChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("ALL"),
            Self::One(capability) => write!(f, "CAP_{capability}"),
        }
    }
}

impl Serialize for CapabilityChange {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CapabilityChange {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(add: &[&str], drop: &[&str]) -> Vec<String> {
        let parse = |texts: &[&str]| -> Vec<CapabilityChange> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let set = effective_capabilities(&parse(add), &parse(drop), &capabilities_in(u64::MAX));
        let mut names: Vec<String> = set.iter().map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[test]
    fn dropping_all_and_adding_one_leaves_that_one() {
        assert_eq!(set(&["net_admin"], &["ALL"]), ["NET_ADMIN"]);
        assert_eq!(set(&["CAP_SYS_TIME"], &["all"]), ["SYS_TIME"]);
    }

    #[test]
    fn adding_all_and_dropping_one_lacks_that_one() {
        let names = set(&["ALL"], &["SYS_ADMIN"]);
        assert_eq!(names.len(), 40);
        assert!(!names.contains(&"SYS_ADMIN".to_owned()));
    }

    #[test]
    fn bits_are_in_the_kernels_order() {
        assert_eq!(capabilities_in(0xa804_25fb), default_capabilities());
        assert_eq!(
            capabilities_in(1 << 21),
            Capabilities::from([Capability::SysAdmin])
        );
    }

    #[test]
    fn the_default_set_has_fourteen() {
        assert_eq!(set(&[], &[]).len(), 14);
        assert_eq!(set(&[], &["CHOWN"]).len(), 13);
        assert!("SYS_NOTHING".parse::<CapabilityChange>().is_err());
    }

    #[test]
    fn every_name_is_read_back() {
        for capability in ALL {
            let change = CapabilityChange::One(capability);
            assert_eq!(change.to_string().parse(), Ok(change));
        }
    }

    #[test]
    fn the_usual_capabilities_have_the_usual_filter() {
        use crate::runtime::seccomp::default_filter;
        let usual = effective_capabilities(&[], &[], &Capabilities::new());
        let of_what_unlocks_calls = Capabilities::from([Capability::SysChroot]);
        assert_eq!(
            default_filter(&usual).unwrap(),
            default_filter(&of_what_unlocks_calls).unwrap()
        );
    }
}
