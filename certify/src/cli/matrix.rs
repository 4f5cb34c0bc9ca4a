//! The options that say which cells are meant, shared by all verbs that plan.

use std::path::PathBuf;

use matrix::axis::CgroupMode;
use matrix::cell::Cell;
use matrix::matrix_file::KernelName;
use matrix::plan::{Filter, NEWEST, Plan, System};
use matrix::select::Selection;
use vm_images::kernel::Kernel;
use vm_images::store::{ImageStore, StoreError};

use super::{Failure, InputContext};
use crate::config;
use crate::provision::kernels::{CUSTOM, Kernels};
use crate::run::host::this_system;

/// Which cells.
#[derive(Debug, clap::Args)]
pub(super) struct MatrixArgs {
    /// The matrix: `quick`, `here` (this machine alone), a name in your configuration folder's
    /// `matrices`, or a TOML file [default: quick; with --kernel: custom]
    #[arg(long, value_name = "NAME|FILE")]
    matrix: Option<String>,
    /// Only cells that EXPR means, such as `storage=overlay,btrfs and not kernel=5.*`; given
    /// more than once: cells that any of them means
    #[arg(long, value_name = "EXPR")]
    only: Vec<Selection>,
    /// No cells that EXPR means
    #[arg(long, value_name = "EXPR")]
    skip: Vec<Selection>,
    /// A kernel of your own (bzImage or ELF), for cells named `custom/…`
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// The folder of that kernel's modules (`…/lib/modules/RELEASE`) [default: none, all is
    /// built in]
    #[arg(long, value_name = "DIR", requires = "kernel")]
    modules: Option<PathBuf>,
}

impl MatrixArgs {
    /// The kernel of `--kernel`, if it was given.
    pub(super) fn own_kernel(&self, store: &ImageStore) -> Result<Option<Kernel>, Failure> {
        let Some(kernel) = &self.kernel else {
            return Ok(None);
        };
        let modules = self.modules.as_deref();
        store.own(kernel, modules).map(Some).or_bad_input()
    }

    /// Spreads the matrix out. `own_kernel` is that of `--kernel`.
    pub(super) fn plan(&self, own_kernel: Option<&Kernel>) -> Result<Plan, Failure> {
        let default = if own_kernel.is_some() {
            "custom"
        } else {
            "quick"
        };
        let name = self.matrix.as_deref().unwrap_or(default);
        let own = config::own_folder();
        let (name, matrix) = config::matrix(name, own.as_deref()).or_bad_input()?;
        let filter = Filter {
            only: self.only.clone(),
            skip: self.skip.clone(),
        };
        let system = match own_kernel {
            Some(kernel) => as_system(kernel),
            None => this_system()?,
        };
        Plan::new(&name, &matrix, Some(&system), &filter).or_bad_input()
    }
}

/// The user's own kernel as a system that a plan can be made for.
fn as_system(kernel: &Kernel) -> System {
    System {
        distro: CUSTOM.to_owned(),
        release: String::new(),
        kernel: kernel.release.clone(),
        arch: kernel.arch,
        cgroup: CgroupMode::V2,
    }
}

/// Gives kernels called `newest` the series that a run would find, where the index that was
/// fetched last, or the cache, tells it. No network is asked.
pub(super) fn settle(plan: &mut Plan, store: &ImageStore) -> Result<(), Failure> {
    let excluded = plan.excluded.iter().map(|excluded| &excluded.cell);
    let newest: Vec<Cell> = (plan.cells.iter().chain(excluded))
        .filter(|cell| cell.kernel == NEWEST)
        .cloned()
        .collect();
    for cell in newest {
        let found = match store.settle(&Kernels::wanted(&cell).or_bad_input()?) {
            Ok(found) => found,
            // Whether there is such a kernel shows when it is to be fetched.
            Err(StoreError::Unknown(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let system = cell.id.as_str().split('/').next().unwrap_or_default();
        if let Some(id) = found {
            let name = KernelName {
                distro: id.distro,
                release: id.release,
                kernel: id.series.to_string(),
            };
            plan.settle(system, cell.arch, &name).or_bad_input()?;
        }
    }
    Ok(())
}
