//! The smaller axes of the matrix: storage driver, cgroup mode, kind of target, accelerator.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A value that is on no axis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is no {axis}: expected one of {expected}")]
pub struct UnknownValue {
    axis: &'static str,
    value: String,
    expected: String,
}

/// Declares an axis: an enum whose values have one fixed name each, used in ids, files and
/// on the command line alike.
macro_rules! axis {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$vmeta])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// Every value, in the order in which it is shown.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name that stands in ids, files and on the command line.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $name {
            type Err = UnknownValue;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|value| value.name() == text).ok_or_else(|| {
                    UnknownValue {
                        axis: $what,
                        value: text.chars().take(80).collect(),
                        expected: Self::ALL.iter().map(|v| v.name()).collect::<Vec<_>>().join(", "),
                    }
                })
            }
        }
    };
}

axis! {
    /// How an engine keeps layers and containers on disk.
    StorageDriver, "storage driver" {
        /// OverlayFS, mainline since 3.18.
        Overlay = "overlay",
        /// AUFS, never mainline.
        Aufs = "aufs",
        /// btrfs subvolumes and snapshots.
        Btrfs = "btrfs",
        /// Plain copies on any file system.
        Vfs = "vfs",
    }
}

axis! {
    /// How the control groups of a machine are mounted.
    CgroupMode, "cgroup mode" {
        /// One hierarchy per controller.
        V1 = "v1",
        /// The unified hierarchy.
        V2 = "v2",
        /// Controllers on v1, with an empty unified hierarchy beside them.
        Hybrid = "hybrid",
    }
}

axis! {
    /// What kind of machine runs a cell.
    TargetKind, "target" {
        /// A kernel with our own initramfs, no distribution.
        Micro = "micro",
        /// A whole distribution's disk image.
        Image = "image",
        /// This machine.
        Host = "host",
        /// Any machine that we can log in to.
        Ssh = "ssh",
    }
}

axis! {
    /// What executes the guest's instructions; it stands beside every time and verdict.
    Accelerator, "accelerator" {
        /// Hardware virtualisation.
        Kvm = "kvm",
        /// QEMU's translation: 10 to 50 times slower than the processor.
        Tcg = "tcg",
        /// No virtual machine at all.
        None = "none",
    }
}
