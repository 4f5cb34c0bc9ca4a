//! Micro targets: the cell's kernel, the engine, and just the modules that the cell needs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use matrix::axis::StorageDriver;
use matrix::cell::Cell;
use matrix::modules::ModuleList;
use vm_images::disk::Filesystem;
use vm_images::kernel::Kernel;
use vm_images::qemu::Acceleration;
use vm_images::target::{BootError, Disk, GuestFile, Micro, MicroSnapshot, MicroSpec, Outfit};

use super::{Breakage, Kernels, Machine, Programs, Provisioned, Provisioner, Snapshots};
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
    /// The static `seaworthy` and its guest tool.
    pub programs: Arc<Programs>,
    /// The static engine.
    pub engine: PathBuf,
    /// What executes the guests.
    pub acceleration: Acceleration,
    /// The size of each guest.
    pub size: MachineSize,
    /// How many guests run at a time.
    pub jobs: usize,
    /// Which cells share a booted machine.
    pub snapshots: Snapshots,
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
        let restored = match attempt {
            1 => self.restore(cell, folder).await?,
            // What followed from the snapshot must not befall its successor.
            _ => None,
        };
        let is_restored = restored.is_some();
        let micro = match restored {
            Some(micro) => micro,
            None => Micro::boot(self.spec(cell, folder)?)
                .await
                .map_err(|error| breakage(&error))?,
        };
        let boot_ms = micro.boot_time().as_millis();
        Ok(Machine {
            target: Box::new(micro),
            seaworthy: SEAWORTHY.to_owned(),
            engine: Some(ENGINE.to_owned()),
            engine_root: ENGINE_ROOT.to_owned(),
            boot_ms: Some(u64::try_from(boot_ms).unwrap_or(u64::MAX)),
            restored: is_restored,
            missing: Vec::new(),
            keep: None,
        })
    }

    /// A machine that goes on from the snapshot of its kernel. None: it is to be booted, as what
    /// can't be saved or restored on this host is no fault of the cell's machine; the reason is
    /// kept with the evidence of each cell that it concerns.
    async fn restore(&self, cell: &Cell, folder: &Path) -> Result<Option<Micro>, Breakage> {
        let Some((shared, storage)) = self.snapshots.take(cell) else {
            return Ok(None);
        };
        let base = self.base(cell, folder)?;
        let outfit = outfit_for(&self.modules, &base.kernel, cell.storage);
        let outfits = storage.into_iter();
        let outfits = outfits.map(|storage| outfit_for(&self.modules, &base.kernel, storage));
        let outfits = outfits.collect();
        let restored = async {
            let make = async || {
                MicroSnapshot::make(base, outfits)
                    .await
                    .map_err(|e| breakage(&e))
            };
            let snapshot = shared.get_or_init(make).await.as_ref();
            let restored = snapshot
                .map_err(Clone::clone)?
                .restore(outfit, folder.join(name::CONSOLE));
            restored.await.map_err(|error| breakage(&error))
        };
        Ok(match restored.await {
            Ok(micro) => Some(micro),
            Err(why) => {
                keep_why_not(&why, folder);
                None
            }
        })
    }

    /// A machine that is booted for the cell.
    fn spec(&self, cell: &Cell, folder: &Path) -> Result<MicroSpec, Breakage> {
        let mut spec = self.base(cell, folder)?;
        let outfit = outfit_for(&self.modules, &spec.kernel, cell.storage);
        spec.outfit.modules.extend(outfit.modules);
        spec.outfit.disks = outfit.disks;
        Ok(spec)
    }

    /// What the machines of all storage drivers have in common. All that they write is in
    /// `folder`.
    fn base(&self, cell: &Cell, folder: &Path) -> Result<MicroSpec, Breakage> {
        self.programs.are_as_held()?;
        let kernel = self.kernels.of(cell)?.clone();
        let modules = present(self.modules.always(), &kernel);
        let mut spec = MicroSpec::new(
            kernel,
            self.programs.seaworthy(),
            self.acceleration.clone(),
            folder.join(name::CONSOLE),
        );
        spec.files = vec![GuestFile {
            host: self.engine.clone(),
            guest: ENGINE.to_owned(),
            mode: 0o755,
        }];
        spec.files
            .extend(self.programs.guest_tool().map(|host| GuestFile {
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
        spec.outfit.modules = modules;
        // The folder for temporary files is often in memory, and disks may take gigabytes.
        folder.clone_into(&mut spec.scratch);
        spec.memory_mib = self.size.memory_mib;
        spec.cpus = self.size.cpus;
        spec.cgroup = cell.cgroup;
        Ok(spec)
    }
}

/// What tells the machines of one storage driver from others.
fn outfit_for(list: &ModuleList, kernel: &Kernel, storage: StorageDriver) -> Outfit {
    let filesystem = match storage {
        StorageDriver::Btrfs => Filesystem::Btrfs,
        StorageDriver::Overlay | StorageDriver::Aufs | StorageDriver::Vfs => Filesystem::Ext4,
    };
    Outfit {
        modules: present(list.for_storage(storage), kernel),
        disks: vec![Disk {
            filesystem,
            size_mib: DISK_MIB,
            mount_at: ENGINE_ROOT.to_owned(),
        }],
    }
}

/// Those of the modules that the kernel has.
fn present(names: &[String], kernel: &Kernel) -> Vec<String> {
    let names = names.iter().filter(|name| kernel.modules.has(name));
    names.cloned().collect()
}

/// Keeps with the cell's evidence why its machine does not go on from a snapshot, and what the
/// console showed of the one that was to.
fn keep_why_not(why: &Breakage, folder: &Path) {
    let artefacts = folder.join(name::ARTEFACTS);
    let kept = fs::create_dir_all(&artefacts).and_then(|()| {
        let reason = format!("{}: {}\n", why.kind, why.detail);
        fs::write(artefacts.join(name::NO_SNAPSHOT), reason)?;
        let console = folder.join(name::CONSOLE);
        // One that failed for an earlier cell has its console there.
        if console.exists() {
            fs::rename(console, artefacts.join(name::SNAPSHOT_CONSOLE))?;
        }
        Ok(())
    });
    if let Err(error) = kept {
        tracing::warn!(%error, "why there is no snapshot can't be kept");
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
        | BootError::Prepare(_)
        | BootError::Snapshot(_) => Breakage::of("no-machine", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_there_is_no_snapshot_is_kept_with_the_evidence_of_every_cell() {
        let why = Breakage::new("no-machine", "QEMU was not done within 30 s");
        let first = tempfile::tempdir().unwrap();
        fs::write(first.path().join(name::CONSOLE), "Linux version 6.1\n").unwrap();
        let second = tempfile::tempdir().unwrap();
        for folder in [&first, &second] {
            keep_why_not(&why, folder.path());
            let reason = folder.path().join(name::ARTEFACTS).join(name::NO_SNAPSHOT);
            let reason = fs::read_to_string(reason).unwrap();
            assert_eq!(reason, "no-machine: QEMU was not done within 30 s\n");
            assert!(!folder.path().join(name::CONSOLE).exists());
        }
        let console = first.path().join(name::ARTEFACTS);
        let console = fs::read_to_string(console.join(name::SNAPSHOT_CONSOLE)).unwrap();
        assert_eq!(console, "Linux version 6.1\n");
    }
}
