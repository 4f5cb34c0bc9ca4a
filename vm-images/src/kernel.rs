//! A kernel that is ready to boot: an ELF image, its configuration and its modules, on disk.

use std::path::PathBuf;

use matrix::arch::Arch;
use matrix::version::KernelVersion;
use serde::{Deserialize, Serialize};

use crate::catalogue::KernelId;
use crate::modules::ModuleTree;

/// A kernel on this machine's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Its name in the catalogue, with the series settled; none for a kernel of the user's own.
    pub id: Option<KernelId>,
    /// Its release: what `uname -r` says once it runs (`6.1.0-50-cloud-amd64`).
    pub release: String,
    /// The mainline version that the release names.
    pub version: KernelVersion,
    /// What it is built for.
    pub arch: Arch,
    /// The file to give to QEMU's `-kernel`: the unpacked ELF image, which starts through its PVH
    /// entry, or the bzImage, which takes seconds longer, where it has no such entry.
    pub boot: PathBuf,
    /// The unpacked ELF image.
    pub vmlinux: PathBuf,
    /// The configuration that it was built with, as text; none if it came with none.
    pub config: Option<PathBuf>,
    /// Its modules.
    pub modules: ModuleTree,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a kernel came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Packages of a distribution's signed index.
    Packages(Vec<PackageId>),
    /// Files that the user gave.
    Files {
        /// The kernel's file.
        kernel: PathBuf,
        /// The SHA-256 of that file, in hexadecimal.
        sha256: String,
        /// Its modules; none if all is built in.
        modules: Option<OwnModules>,
    },
}

/// Modules of a kernel of the user's own, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnModules {
    /// Their folder.
    pub folder: PathBuf,
    /// The SHA-256 over their paths in it and their contents, in hexadecimal.
    pub sha256: String,
}

/// One package, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageId {
    /// The package's name.
    pub name: String,
    /// The package's version.
    pub version: String,
    /// The SHA-256 of its file, in hexadecimal.
    pub sha256: String,
}
