//! The harness's own host: what certifying needs on it, what is missing, and what to install.

mod text;

use std::error::Error as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use matrix::arch::Arch;
use matrix::axis::{StorageDriver, TargetKind};
use matrix::cell::Cell;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vm_images::mirror::{Mirror, Validity};
use vm_images::verify::Keyring;

use crate::run::start::check_writable;

pub use text::render;

/// The value of `schema` in the document.
pub const DOCTOR_SCHEMA: &str = "seaworthy.doctor/1";

/// Programs that certifying runs: name, Debian's package, what for, and how much hangs on it.
const PROGRAMS: [(&str, &str, &str, Need); 5] = [
    (
        "qemu-system-x86_64",
        "qemu-system-x86",
        "boots the cells",
        Need::Required,
    ),
    (
        "gpgv",
        "gpgv",
        "checks the signature of the mirror's index",
        Need::Required,
    ),
    (
        "mkfs.ext4",
        "e2fsprogs",
        "makes the disks of overlay and vfs cells",
        Need::Required,
    ),
    (
        "mkfs.btrfs",
        "btrfs-progs",
        "makes the disks of btrfs cells",
        Need::Required,
    ),
    (
        "mkfs.xfs",
        "xfsprogs",
        "makes disks for cells on XFS",
        Need::Useful,
    ),
];

/// Free space for kernels, disks and a run folder, in MiB; the quick matrix takes about 1 GiB.
const SPACE_MIB: u64 = 2048;
/// Memory for one guest and the harness, in MiB.
const MEMORY_MIB: u64 = 1024;

/// What there is to look at. All of it is passed in, so that a test can be any host.
#[derive(Debug, Clone)]
pub struct Host {
    /// Where programs are looked for.
    pub path: Vec<PathBuf>,
    /// apt's configuration (`/etc/apt`).
    pub apt: PathBuf,
    /// A mirror that the user gave.
    pub mirror: Option<String>,
    /// The keyring of Debian's archive; none when the host has none.
    pub keyring: Option<PathBuf>,
    /// The device of hardware virtualisation (`/dev/kvm`).
    pub kvm: PathBuf,
    /// What `/proc/meminfo` says.
    pub meminfo: String,
    /// Where runs are written to, and the MiB that are free there; none when that is unknown.
    pub space: (PathBuf, Option<u64>),
    /// Why nothing can be written there, if so.
    pub refusal: Option<String>,
}

impl Host {
    /// This machine; runs are written below `out`.
    pub fn this(out: &Path) -> Self {
        Self {
            path: program_path(),
            apt: PathBuf::from("/etc/apt"),
            mirror: std::env::var("SEAWORTHY_DEBIAN_MIRROR").ok(),
            keyring: Keyring::of_host()
                .ok()
                .map(|keyring| keyring.path().to_owned()),
            kvm: PathBuf::from("/dev/kvm"),
            meminfo: fs::read_to_string("/proc/meminfo").unwrap_or_default(),
            space: (out.to_owned(), free_mib(out)),
            refusal: check_writable(out)
                .err()
                .and_then(|error| Some(error.source()?.to_string())),
        }
    }
}

/// Where this process finds programs.
pub fn program_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A plain user's PATH often has no sbin, where Debian keeps mkfs.
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(sbin).collect()
}

/// How much hangs on something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Without it nothing can be certified in virtual machines.
    Required,
    /// Without it some cells are not there, or all are slower.
    Useful,
}

/// What came of looking at the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// [`DOCTOR_SCHEMA`].
    pub schema: String,
    /// Whether everything required is there.
    pub ready: bool,
    /// One entry a thing that was looked at.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What (`qemu-system-x86_64`, `memory`).
    pub name: String,
    /// What it came to.
    pub state: Health,
    /// What it is needed for.
    pub purpose: String,
    /// What was found.
    pub found: String,
    /// What to do; null where nothing is to be done.
    pub remedy: Option<String>,
}

/// What one check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It is there.
    Ok,
    /// It is not there, and things work without it: fewer cells, or slower ones.
    Warning,
    /// It is not there, and nothing works without it.
    Missing,
}

impl Check {
    fn fine(name: &str, purpose: &str, found: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            state: Health::Ok,
            purpose: purpose.to_owned(),
            found: found.into(),
            remedy: None,
        }
    }

    fn lacks(
        name: &str,
        need: Need,
        purpose: &str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            state: match need {
                Need::Required => Health::Missing,
                Need::Useful => Health::Warning,
            },
            remedy: Some(remedy.into()),
            ..Self::fine(name, purpose, found)
        }
    }
}

/// Looks at everything.
pub fn examine(host: &Host) -> Diagnosis {
    let mut checks: Vec<Check> = PROGRAMS
        .iter()
        .map(|(name, package, purpose, need)| program(host, name, package, purpose, *need))
        .collect();
    checks.extend([
        keyring(host),
        mirror(host),
        kvm(host),
        space(host),
        memory(host),
    ]);
    Diagnosis {
        schema: DOCTOR_SCHEMA.to_owned(),
        ready: checks.iter().all(|check| check.state != Health::Missing),
        checks,
    }
}

/// The programs that making these cells' machines takes and this host lacks, each with its remedy.
pub fn lacks_for(cells: &[Cell], path: &[PathBuf]) -> Vec<String> {
    let needs = |name: &str| {
        let mut micro = cells.iter().filter(|cell| cell.target == TargetKind::Micro);
        micro.any(|cell| match name {
            "qemu-system-x86_64" => cell.arch == Arch::Amd64,
            "mkfs.btrfs" => cell.storage == StorageDriver::Btrfs,
            "mkfs.ext4" => cell.storage != StorageDriver::Btrfs,
            _ => false,
        })
    };
    let lacking = PROGRAMS
        .iter()
        .filter(|(name, ..)| needs(name) && found(path, name).is_none());
    lacking
        .map(|(name, package, purpose, _)| {
            format!("`{name}`, which {purpose}, is not in PATH: install the package `{package}`")
        })
        .collect()
}

fn found(path: &[PathBuf], name: &str) -> Option<PathBuf> {
    let mut places = path.iter().map(|folder| folder.join(name));
    places.find(|path| path.is_file())
}

fn program(host: &Host, name: &str, package: &str, purpose: &str, need: Need) -> Check {
    match found(&host.path, name) {
        Some(path) => Check::fine(name, purpose, path.display().to_string()),
        None => Check::lacks(
            name,
            need,
            purpose,
            "not in PATH",
            format!("install the package `{package}`"),
        ),
    }
}

fn keyring(host: &Host) -> Check {
    let (name, purpose) = (
        "debian-keyring",
        "holds the keys that a mirror's index is signed with",
    );
    match &host.keyring {
        Some(path) => Check::fine(name, purpose, path.display().to_string()),
        None => Check::lacks(
            name,
            Need::Required,
            purpose,
            "not on this machine",
            "install the package `debian-archive-keyring`, or give one with `--keyring FILE`",
        ),
    }
}

fn mirror(host: &Host) -> Check {
    let (name, purpose) = (
        "mirror",
        "has the kernels; not needed again once they are fetched",
    );
    let found = match &host.mirror {
        Some(address) => Mirror::at(address, Validity::Enforced),
        None => Mirror::of_host(&host.apt, Validity::Enforced),
    };
    match found {
        Ok(mirror) => Check::fine(name, purpose, mirror.url("")),
        Err(error) => Check::lacks(
            name,
            Need::Required,
            purpose,
            error.to_string(),
            "set SEAWORTHY_DEBIAN_MIRROR to a Debian mirror's address",
        ),
    }
}

/// That the device opens proves little: a kernel has to boot under it, which certifying tries.
fn kvm(host: &Host) -> Check {
    let (name, purpose) = ("kvm", "runs cells at the processor's speed");
    match File::options().read(true).write(true).open(&host.kvm) {
        Ok(_) => Check::fine(
            name,
            purpose,
            format!(
                "{} opens; whether a kernel boots under it is tried when certifying",
                host.kvm.display()
            ),
        ),
        Err(error) => Check::lacks(
            name,
            Need::Useful,
            purpose,
            format!(
                "{}: {error}; cells run under TCG, 10 to 50 times slower",
                host.kvm.display()
            ),
            if error.kind() == std::io::ErrorKind::PermissionDenied {
                "add yourself to the group `kvm`"
            } else {
                "turn virtualisation on in the firmware, or for a guest in its host, and load `kvm_intel` or `kvm_amd`"
            },
        ),
    }
}

fn space(host: &Host) -> Check {
    let (name, purpose) = ("space", "keeps kernels, disks and run folders");
    let (folder, free) = &host.space;
    let folder = folder.display();
    if let Some(why) = &host.refusal {
        return Check::lacks(
            name,
            Need::Required,
            purpose,
            format!("nothing can be written to {folder}: {why}"),
            "write runs elsewhere with `--out DIR`",
        );
    }
    match free {
        Some(mib) if *mib >= SPACE_MIB => {
            Check::fine(name, purpose, format!("{mib} MiB free in {folder}"))
        }
        Some(mib) => Check::lacks(
            name,
            Need::Required,
            purpose,
            format!("{mib} MiB free in {folder}"),
            format!("free {SPACE_MIB} MiB there, or write runs elsewhere with `--out DIR`"),
        ),
        None => Check::lacks(
            name,
            Need::Required,
            purpose,
            format!("{folder} can't be looked at"),
            "write runs elsewhere with `--out DIR`",
        ),
    }
}

fn memory(host: &Host) -> Check {
    let (name, purpose) = ("memory", "holds one guest for each job");
    match available_mib(&host.meminfo) {
        Some(mib) if mib >= MEMORY_MIB => {
            Check::fine(name, purpose, format!("{mib} MiB available"))
        }
        Some(mib) => Check::lacks(
            name,
            Need::Required,
            purpose,
            format!("{mib} MiB available"),
            format!("free {MEMORY_MIB} MiB, and run fewer cells at once with `--jobs 1`"),
        ),
        None => Check::lacks(
            name,
            Need::Useful,
            purpose,
            "/proc/meminfo does not tell",
            format!("see to it that {MEMORY_MIB} MiB are free"),
        ),
    }
}

/// `MemAvailable`, or before 3.14 what is free or cached.
fn available_mib(meminfo: &str) -> Option<u64> {
    let kib = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.strip_prefix(':')?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    let available = kib("MemAvailable").or_else(|| Some(kib("MemFree")? + kib("Cached")?))?;
    Some(available >> 10)
}

/// The MiB that are free for a plain user where `folder` is, or will be.
fn free_mib(folder: &Path) -> Option<u64> {
    let whole = std::path::absolute(folder).ok()?;
    let there = whole.ancestors().find(|ancestor| ancestor.exists())?;
    let facts = nix::sys::statvfs::statvfs(there).ok()?;
    #[allow(clippy::useless_conversion, reason = "not useless on 32-bit hosts")]
    let (blocks, size) = (
        u64::from(facts.blocks_available()),
        u64::from(facts.fragment_size()),
    );
    Some(blocks.saturating_mul(size) >> 20)
}

#[cfg(test)]
mod tests;
