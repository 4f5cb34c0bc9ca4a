//! Provisioning: a machine for a cell, ready to be checked and tested.
//!
//! A [`Provisioner`] knows how to make one kind of machine; `host` takes this machine, and
//! `micro` boots a kernel in a virtual one.

mod breakage;
pub(crate) mod engine_folder;
mod host;
pub mod kernels;
mod micro;
mod programs;
pub(crate) mod snapshots;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use matrix::cell::Cell;
use matrix::event::Missing;
use vm_images::target::Target;

pub use breakage::Breakage;
pub use engine_folder::EngineFolder;
pub use host::HostProvisioner;
pub use kernels::Kernels;
pub use micro::MicroProvisioner;
pub use programs::{ProgramError, Programs};
pub use snapshots::Snapshots;

/// A machine that a cell can run on. Dropping it ends it.
pub struct Machine {
    /// How to talk to it.
    pub target: Box<dyn Target>,
    /// Where `seaworthy` is on it.
    pub seaworthy: String,
    /// Where the engine is on it; absent for an engine that is found there.
    pub engine: Option<String>,
    /// A folder for the engine's state, on the file system that the cell is about.
    pub engine_root: String,
    /// From its start to its first answer, in milliseconds; absent where nothing was started.
    pub boot_ms: Option<u64>,
    /// Whether that was from a snapshot.
    pub restored: bool,
    /// What the machine lacks for this cell, whatever its kernel has.
    pub missing: Vec<Missing>,
    /// What must outlive the machine and go away with it (a folder on this host).
    pub keep: Option<EngineFolder>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("kind", &self.target.kind())
            .field("engine_root", &self.engine_root)
            .finish_non_exhaustive()
    }
}

/// What provisioning promises to give.
pub type Provisioned<'a> = Pin<Box<dyn Future<Output = Result<Machine, Breakage>> + Send + 'a>>;

/// Something that makes machines for cells.
///
/// Laws: each call gives a fresh machine, on which nothing of an earlier one is left; when the
/// future is dropped, nothing of a half-made machine remains; everything that the machine
/// prints is in `folder` when it has ended.
pub trait Provisioner: Send + Sync {
    /// Makes a machine for `cell`, keeping what it prints in `folder`, which exists. `attempt`
    /// counts the machines of this cell from 1.
    fn provision<'a>(&'a self, cell: &'a Cell, attempt: u32, folder: &'a Path) -> Provisioned<'a>;

    /// How many machines may run at a time without disturbing each other.
    fn at_a_time(&self) -> usize;
}
