//! What a micro target is made of.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use matrix::axis::{Accelerator, CgroupMode};

use crate::disk::{self, DiskError, Filesystem};
use crate::kernel::Kernel;
use crate::qemu::{Acceleration, Launch, Memory};

/// What a micro target is made of: a kernel, our own initramfs, and nothing else.
#[derive(Debug, Clone)]
pub struct MicroSpec {
    /// The kernel.
    pub kernel: Kernel,
    /// The static `seaworthy`, which is its init process and agent.
    pub agent_binary: PathBuf,
    /// More files of its root file system, such as the engine.
    pub files: Vec<GuestFile>,
    /// Its memory, in MiB.
    pub memory_mib: u32,
    /// Its processors.
    pub cpus: u32,
    /// How its control groups are mounted.
    pub cgroup: CgroupMode,
    /// What tells it from others of the same kernel.
    pub outfit: Outfit,
    /// More words for the kernel's command line.
    pub kernel_arguments: Vec<String>,
    /// What executes it.
    pub acceleration: Acceleration,
    /// Where all that its console shows is written.
    pub console_log: PathBuf,
    /// A folder for its disks and initramfs, of which no name ever appears in it.
    pub scratch: PathBuf,
    /// What is too long.
    pub deadlines: Deadlines,
}

impl MicroSpec {
    /// A machine with 512 MiB, 2 processors, control groups v2, no disk and no engine.
    pub fn new(
        kernel: Kernel,
        agent_binary: PathBuf,
        acceleration: Acceleration,
        console_log: PathBuf,
    ) -> Self {
        Self {
            kernel,
            agent_binary,
            files: Vec::new(),
            memory_mib: 512,
            cpus: 2,
            cgroup: CgroupMode::V2,
            outfit: Outfit::default(),
            kernel_arguments: Vec::new(),
            deadlines: Deadlines::of(acceleration.accelerator),
            acceleration,
            console_log,
            scratch: std::env::temp_dir(),
        }
    }

    /// What is launched of it.
    pub(super) fn launch(
        &self,
        initramfs: File,
        disks: Vec<File>,
        memory: Memory,
        console_log: PathBuf,
    ) -> Launch {
        Launch {
            arch: self.kernel.arch,
            accelerator: self.acceleration.accelerator,
            memory_mib: self.memory_mib,
            cpus: self.cpus,
            kernel: self.kernel.boot.clone(),
            kernel_arguments: self.kernel_arguments.clone(),
            initramfs,
            disks,
            memory,
            console_log,
        }
    }
}

/// What tells a machine from others of the same kernel: it has it from its boot, or gets it after
/// it has been restored from a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outfit {
    /// Kernel modules to load, by name, besides those that the machine itself and its disks need.
    /// Their dependencies come along; what is built in is left out.
    pub modules: Vec<String>,
    /// Its disks, empty at first.
    pub disks: Vec<Disk>,
}

impl Outfit {
    /// The names of all modules that it needs; what they depend on is left to be found.
    pub(crate) fn wanted(&self) -> Vec<&str> {
        let driver = (!self.disks.is_empty()).then_some("virtio_blk");
        let filesystems = self.disks.iter().map(|disk| disk.filesystem.name());
        let others = self.modules.iter().map(String::as_str);
        driver
            .into_iter()
            .chain(filesystems)
            .chain(others)
            .collect()
    }

    /// Makes its disks, whose space comes from `folder`.
    pub(super) fn make_disks(&self, folder: &Path) -> Result<Vec<File>, DiskError> {
        let make = |disk: &Disk| disk::create(folder, disk.filesystem, disk.size_mib);
        self.disks.iter().map(make).collect()
    }
}

/// A file of a guest's root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFile {
    /// Its content, on this machine.
    pub host: PathBuf,
    /// Its absolute path in the guest; the folders above it are made.
    pub guest: String,
    /// Its permission bits.
    pub mode: u32,
}

/// A scratch disk of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The file system on it.
    pub filesystem: Filesystem,
    /// Its size, in MiB. It takes only what is written.
    pub size_mib: u64,
    /// Where it is mounted.
    pub mount_at: String,
}

/// What is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From QEMU's start to the agent's answer.
    pub boot: Duration,
    /// Without a byte from the console of a booting guest.
    pub silence: Duration,
}

impl Deadlines {
    /// Usual boots take 2 s under TCG and 0.5 s under KVM; the rest is for a busy host.
    pub fn of(accelerator: Accelerator) -> Self {
        let (boot, silence) = match accelerator {
            Accelerator::Tcg => (120, 45),
            Accelerator::Kvm | Accelerator::None => (40, 15),
        };
        Self {
            boot: Duration::from_secs(boot),
            silence: Duration::from_secs(silence),
        }
    }
}
