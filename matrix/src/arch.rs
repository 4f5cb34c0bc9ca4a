//! Processor architectures, by Debian's names.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An architecture that a kernel is built for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit x86.
    Amd64,
    /// 32-bit x86.
    I386,
    /// 64-bit ARM.
    Arm64,
    /// 32-bit ARM, hard float.
    Armhf,
    /// IBM Z.
    S390x,
}

impl Arch {
    /// Every architecture that the matrix knows.
    pub const ALL: [Self; 5] = [
        Self::Amd64,
        Self::I386,
        Self::Arm64,
        Self::Armhf,
        Self::S390x,
    ];

    /// Debian's name, which also stands in cell ids.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::I386 => "i386",
            Self::Arm64 => "arm64",
            Self::Armhf => "armhf",
            Self::S390x => "s390x",
        }
    }

    /// Reads Debian's names and those of `uname -m`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "amd64" | "x86_64" | "x86-64" => Self::Amd64,
            "i386" | "i486" | "i586" | "i686" | "x86" => Self::I386,
            "arm64" | "aarch64" => Self::Arm64,
            "armhf" | "arm" | "armv7l" => Self::Armhf,
            "s390x" => Self::S390x,
            _ => return None,
        })
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
