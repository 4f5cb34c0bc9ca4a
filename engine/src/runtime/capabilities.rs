//! Capabilities: numbers, sets, and what this process itself has to give.

use oci_spec::runtime::{Capabilities, Capability};

use crate::sys::credentials;

/// Every capability, at the place of its number (`linux/capability.h`).
const ALL: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// A set of capabilities, a bit for each number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapabilitySet(pub(super) u64);

impl CapabilitySet {
    /// Every capability that Keel knows, in the order of their numbers.
    pub const ALL: &'static [Capability] = &ALL;

    /// The permitted capabilities of this process: no container can be given others. What
    /// `--privileged` should ask for, on machines that keep some back.
    ///
    /// # Errors
    /// That of capget(2).
    pub fn available() -> std::io::Result<Self> {
        Ok(Self(credentials::capabilities()?.permitted))
    }

    /// Those in the set, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        self.numbers()
            .filter_map(|number| ALL.get(usize::from(number)).copied())
    }

    /// Those in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that only `self` has.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The numbers in the set.
    pub(super) fn numbers(self) -> impl Iterator<Item = u8> {
        (0_u8..64).filter(move |number| self.0 & (1 << number) != 0)
    }
}

impl From<&Capabilities> for CapabilitySet {
    fn from(set: &Capabilities) -> Self {
        let bit = |(number, capability)| {
            if set.contains(capability) {
                1_u64 << number
            } else {
                0
            }
        };
        Self(
            ALL.iter()
                .enumerate()
                .map(bit)
                .fold(0, |all, bit| all | bit),
        )
    }
}

impl From<CapabilitySet> for Capabilities {
    fn from(set: CapabilitySet) -> Self {
        set.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernel() {
        for (capability, number) in [
            (Capability::Chown, 0),
            (Capability::SysAdmin, 21),
            (Capability::Setfcap, 31),
            (Capability::CheckpointRestore, 40),
        ] {
            assert_eq!(CapabilitySet::from(&[capability].into()).0, 1 << number);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_set_survives_the_way_there_and_back(bits in 0_u64..(1 << 41)) {
            let set = Capabilities::from(CapabilitySet(bits));
            proptest::prop_assert_eq!(CapabilitySet::from(&set), CapabilitySet(bits));
        }
    }
}
