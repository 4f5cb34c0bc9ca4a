//! Micro targets: the cell's kernel, the engine, and just the modules that the cell needs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use matrix::axis::StorageDriver;
use matrix::cell::Cell;
use matrix::modules::ModuleList;
use vm_images::disk::Filesystem;
use vm_images::qemu::Acceleration;
use vm_images::target::{BootError, Disk, GuestFile, Micro, MicroSpec};

use super::{Breakage, Kernels, Machine, Provisioned, Provisioner};
use crate::guest_tool;
use crate::run::facts::MachineSize;
use crate::run::folder::name;

/// Where the agent, which is `seaworthy` itself, is in a guest.
const SEAWORTHY: &str = "/init";

/// Where the engine is.
const ENGINE: &str = "/bin/keel";

/// Where the engine's disk is mounted.
const ENGINE_ROOT: &str = "/srv/engine";

/// The disk takes only what is written, so it is larger than any suite needs.
const DISK_MIB: u64 = 4096;

/// Boots the cells' kernels under QEMU.
#[derive(Debug)]
pub struct MicroProvisioner {
    /// The kernels of the plan.
    pub kernels: Kernels,
    /// The modules that cells need.
    pub modules: ModuleList,
    /// The static `seaworthy`: this very program.
    pub seaworthy: PathBuf,
    /// The static engine.
    pub engine: PathBuf,
    /// What executes the guests.
    pub acceleration: Acceleration,
    /// The size of each guest.
    pub size: MachineSize,
    /// How many guests run at a time.
    pub jobs: usize,
}

impl Provisioner for MicroProvisioner {
    fn provision<'a>(&'a self, cell: &'a Cell, attempt: u32, folder: &'a Path) -> Provisioned<'a> {
        Box::pin(self.boot(cell, attempt, folder))
    }

    fn at_a_time(&self) -> usize {
        self.jobs
    }
}

impl MicroProvisioner {
    async fn boot(&self, cell: &Cell, attempt: u32, folder: &Path) -> Result<Machine, Breakage> {
        let console = folder.join(name::CONSOLE);
        keep_earlier(&console, &folder.join(name::ARTEFACTS), attempt)
            .map_err(|error| Breakage::of("console-log", &error))?;
        let micro = Micro::boot(self.spec(cell, console)?)
            .await
            .map_err(|error| breakage(&error))?;
        let boot_ms = micro.boot_time().as_millis();
        Ok(Machine {
            target: Box::new(micro),
            seaworthy: SEAWORTHY.to_owned(),
            engine: Some(ENGINE.to_owned()),
            engine_root: ENGINE_ROOT.to_owned(),
            boot_ms: Some(u64::try_from(boot_ms).unwrap_or(u64::MAX)),
            missing: Vec::new(),
            keep: None,
        })
    }

    fn spec(&self, cell: &Cell, console: PathBuf) -> Result<MicroSpec, Breakage> {
        let kernel = self.kernels.of(cell)?.clone();
        let modules = (self.modules.for_storage(cell.storage))
            .into_iter()
            .filter(|name| kernel.modules.has(name))
            .collect();
        let filesystem = match cell.storage {
            StorageDriver::Btrfs => Filesystem::Btrfs,
            StorageDriver::Overlay | StorageDriver::Aufs | StorageDriver::Vfs => Filesystem::Ext4,
        };
        let mut spec = MicroSpec::new(
            kernel,
            self.seaworthy.clone(),
            self.acceleration.clone(),
            console,
        );
        spec.files = vec![GuestFile {
            host: self.engine.clone(),
            guest: ENGINE.to_owned(),
            mode: 0o755,
        }];
        spec.files
            .extend(guest_tool::beside(&self.seaworthy).map(|host| GuestFile {
                host,
                guest: format!("/{}", guest_tool::PROGRAM),
                mode: 0o755,
            }));
        // The support check reads it there, and so decides what it can't try out.
        spec.files
            .extend(spec.kernel.config.clone().map(|host| GuestFile {
                host,
                guest: format!("/boot/config-{}", spec.kernel.release),
                mode: 0o644,
            }));
        spec.modules = modules;
        spec.memory_mib = self.size.memory_mib;
        spec.cpus = self.size.cpus;
        spec.cgroup = cell.cgroup;
        spec.disks = vec![Disk {
            filesystem,
            size_mib: DISK_MIB,
            mount_at: ENGINE_ROOT.to_owned(),
        }];
        Ok(spec)
    }
}

/// What an earlier machine of the cell printed is evidence too.
fn keep_earlier(console: &Path, artefacts: &Path, attempt: u32) -> io::Result<()> {
    if !console.exists() {
        return Ok(());
    }
    fs::create_dir_all(artefacts)?;
    let number = attempt.saturating_sub(1);
    fs::rename(console, artefacts.join(format!("console-{number}.log")))
}

fn breakage(error: &BootError) -> Breakage {
    match error {
        BootError::Trouble(trouble) => Breakage::new(trouble.kind.name(), trouble.to_string()),
        BootError::Initramfs(_)
        | BootError::Disk(_)
        | BootError::Launch(_)
        | BootError::Agent(_)
        | BootError::Prepare(_) => Breakage::of("no-machine", error),
    }
}
