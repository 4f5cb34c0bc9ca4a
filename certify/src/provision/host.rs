//! This machine as the machine of a cell: nothing is booted, fetched or installed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use matrix::axis::StorageDriver;
use matrix::cell::Cell;
use matrix::event::Missing;
use nix::sys::statfs::{BTRFS_SUPER_MAGIC, FsType, OVERLAYFS_SUPER_MAGIC, statfs};
use vm_images::target::Host;

use super::engine_folder::{self, EngineFolder};
use super::{Breakage, Machine, Programs, Provisioned, Provisioner};
use crate::adapter::EngineKind;

/// Takes this machine for every cell.
#[derive(Debug, Clone)]
pub struct HostProvisioner {
    /// The `seaworthy` that checks and runs the suites, and its guest tool.
    pub programs: Arc<Programs>,
    /// The engine; absent for one that the adapter finds itself.
    pub engine: Option<PathBuf>,
    /// Its adapter.
    pub kind: EngineKind,
    /// The folder that engine roots are made in. Its file system is what the cells are about.
    pub root: PathBuf,
}

impl Provisioner for HostProvisioner {
    fn provision<'a>(
        &'a self,
        cell: &'a Cell,
        _attempt: u32,
        _folder: &'a Path,
    ) -> Provisioned<'a> {
        Box::pin(self.take(cell))
    }

    /// Cells share the machine, and limits and leftovers of one would show in another.
    fn at_a_time(&self) -> usize {
        1
    }
}

impl HostProvisioner {
    /// Removes what killed runs left behind, containers included.
    pub fn clean_up(&self) {
        engine_folder::sweep(&self.root, self.engine().as_ref());
    }

    fn engine(&self) -> Option<engine_folder::Engine> {
        Some(engine_folder::Engine {
            kind: self.kind,
            program: self.engine.clone()?,
        })
    }

    async fn take(&self, cell: &Cell) -> Result<Machine, Breakage> {
        self.programs.are_in_place()?;
        let keep = EngineFolder::make(&self.root, self.engine()).map_err(|error| {
            let detail = format!(
                "{} can't hold the engine's root: {error}",
                self.root.display()
            );
            Breakage::new("engine-root", detail)
        })?;
        let file_system = statfs(keep.path())
            .map_err(|error| Breakage::of("engine-root", &error))?
            .filesystem_type();
        let target = Host::start()
            .await
            .map_err(|error| Breakage::of("agent", &error))?;
        Ok(Machine {
            target: Box::new(target),
            seaworthy: text(self.programs.path()),
            engine: self.engine.as_deref().map(text),
            engine_root: text(keep.path()),
            boot_ms: None,
            restored: false,
            missing: misfit(cell.storage, file_system, &self.root)
                .into_iter()
                .collect(),
            keep: Some(keep),
        })
    }
}

/// What the file system of the engine's root lacks for a driver.
fn misfit(storage: StorageDriver, file_system: FsType, root: &Path) -> Option<Missing> {
    let root = root.display();
    match storage {
        StorageDriver::Btrfs if file_system != BTRFS_SUPER_MAGIC => Some(Missing {
            requirement: "host.engine-root.btrfs".to_owned(),
            remedy: format!(
                "{root} is not on btrfs: give `--engine-root` a folder on btrfs, or run this cell in a virtual machine (`--matrix quick`)"
            ),
        }),
        StorageDriver::Overlay if file_system == OVERLAYFS_SUPER_MAGIC => Some(Missing {
            requirement: "host.engine-root.not-overlay".to_owned(),
            remedy: format!(
                "{root} is itself on an overlay, which can't carry another's upper layer: give `--engine-root` a folder on ext4, XFS or btrfs"
            ),
        }),
        StorageDriver::Overlay
        | StorageDriver::Aufs
        | StorageDriver::Btrfs
        | StorageDriver::Vfs => None,
    }
}

/// Paths that this program makes or was given on its command line. One that is no UTF-8 is
/// refused by the agent as not there, by name.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use nix::sys::statfs::EXT4_SUPER_MAGIC;

    use super::*;

    #[test]
    fn a_driver_that_the_file_system_cannot_carry_is_no_failure_of_the_engine() {
        let requirement = |storage, file_system| {
            misfit(storage, file_system, Path::new("/x")).map(|missing| missing.requirement)
        };
        assert_eq!(
            requirement(StorageDriver::Btrfs, EXT4_SUPER_MAGIC).as_deref(),
            Some("host.engine-root.btrfs")
        );
        assert_eq!(requirement(StorageDriver::Btrfs, BTRFS_SUPER_MAGIC), None);
        assert_eq!(
            requirement(StorageDriver::Overlay, OVERLAYFS_SUPER_MAGIC).as_deref(),
            Some("host.engine-root.not-overlay")
        );
        assert_eq!(requirement(StorageDriver::Overlay, EXT4_SUPER_MAGIC), None);
        assert_eq!(requirement(StorageDriver::Vfs, OVERLAYFS_SUPER_MAGIC), None);
    }
}
