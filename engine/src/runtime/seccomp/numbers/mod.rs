//! Architectures and their system call numbers.

mod aarch64;
mod arm;
mod x86;
mod x86_64;

use oci_spec::runtime::Arch;

/// A system call interface: what one kernel offers to one kind of program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interface {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
}

/// The architectures of which the calls are known.
pub const ARCHITECTURES: [Arch; 6] = [
    Arch::ScmpArchAarch64,
    Arch::ScmpArchArm,
    Arch::ScmpArchNative,
    Arch::ScmpArchX32,
    Arch::ScmpArchX86,
    Arch::ScmpArchX86_64,
];

/// The bit that marks x32 calls; their architecture is that of x86-64.
const X32_BIT: u32 = 0x4000_0000;

/// The interface of the programs that this one is built like.
#[cfg(target_arch = "x86_64")]
pub(super) const NATIVE: Interface = Interface::X86_64;
/// The interface of the programs that this one is built like.
#[cfg(target_arch = "x86")]
pub(super) const NATIVE: Interface = Interface::X86;
/// The interface of the programs that this one is built like.
#[cfg(target_arch = "aarch64")]
pub(super) const NATIVE: Interface = Interface::Aarch64;
/// The interface of the programs that this one is built like.
#[cfg(target_arch = "arm")]
pub(super) const NATIVE: Interface = Interface::Arm;

impl Interface {
    /// `None`: no table is kept, and a program of that kind is killed by the filter.
    pub(super) fn of(arch: Arch) -> Option<Self> {
        match arch {
            Arch::ScmpArchNative => Some(NATIVE),
            Arch::ScmpArchX86 => Some(Self::X86),
            Arch::ScmpArchX86_64 => Some(Self::X86_64),
            Arch::ScmpArchX32 => Some(Self::X32),
            Arch::ScmpArchArm => Some(Self::Arm),
            Arch::ScmpArchAarch64 => Some(Self::Aarch64),
            Arch::ScmpArchMips
            | Arch::ScmpArchMips64
            | Arch::ScmpArchMips64n32
            | Arch::ScmpArchMipsel
            | Arch::ScmpArchMipsel64
            | Arch::ScmpArchMipsel64n32
            | Arch::ScmpArchPpc
            | Arch::ScmpArchPpc64
            | Arch::ScmpArchPpc64le
            | Arch::ScmpArchS390
            | Arch::ScmpArchS390x
            | Arch::ScmpArchRiscv64 => None,
        }
    }

    /// `AUDIT_ARCH_*` (`linux/audit.h`), as the filter sees it.
    pub(super) const fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    const fn table(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::X86_64 | Self::X32 => x86_64::TABLE,
            Self::X86 => x86::TABLE,
            Self::Aarch64 => aarch64::TABLE,
            Self::Arm => arm::TABLE,
        }
    }

    /// The number of a call; `None` when this interface has no such call.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        if self == Self::X32 {
            let own = find(x86_64::X32, name).or_else(|| find(x86_64::TABLE, name));
            return own.map(|number| number | X32_BIT);
        }
        find(self.table(), name)
    }

    /// The names of all its calls.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        self.table().iter().map(|(name, _)| *name)
    }
}

fn find(table: &[(&str, u32)], name: &str) -> Option<u32> {
    let index = table.binary_search_by_key(&name, |(name, _)| name).ok()?;
    table.get(index).map(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_so_that_every_name_is_found() {
        for interface in [
            Interface::X86_64,
            Interface::X86,
            Interface::Aarch64,
            Interface::Arm,
        ] {
            for (name, number) in interface.table() {
                assert_eq!(interface.number(name), Some(*number), "{name}");
            }
        }
        assert!(x86_64::X32.is_sorted());
    }

    #[test]
    fn numbers_agree_with_the_c_library() {
        use nix::libc;
        for (name, number) in [
            ("read", libc::SYS_read),
            ("clone3", libc::SYS_clone3),
            ("setns", libc::SYS_setns),
            ("seccomp", libc::SYS_seccomp),
        ] {
            assert_eq!(
                NATIVE.number(name).map(|own| own.to_string()),
                Some(number.to_string()),
                "{name}"
            );
        }
        assert_eq!(Interface::X32.number("ptrace"), Some(X32_BIT + 521));
        assert_eq!(Interface::X86.number("socketcall"), Some(102));
    }
}
