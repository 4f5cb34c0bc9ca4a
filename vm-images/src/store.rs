//! The kernels of the catalogue on this machine: what is there, getting more, clearing up.

use std::path::{Path, PathBuf};

use crate::catalogue::{Catalogue, KernelId, Wanted};
use crate::kernel::Kernel;
use crate::progress::Progress;

/// The kernels of a catalogue and the cache that keeps them.
#[derive(Debug)]
pub struct ImageStore {
    cache: PathBuf,
    catalogue: Catalogue,
}

/// What is known about one entry of the catalogue without any network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The entry's name as the catalogue has it.
    pub id: KernelId,
    /// The name with the series settled by the newest index that was fetched, which is what
    /// stands in cell ids; none as long as the series is unknown.
    pub settled: Option<KernelId>,
    /// The kernel's release (`uname -r`), once an index was fetched.
    pub release: Option<String>,
    /// The packages' size in bytes, once an index was fetched.
    pub size: Option<u64>,
    /// Whether it can be booted without fetching anything.
    pub cached: Cached,
    /// The archive's suite.
    pub suite: String,
}

/// Whether a kernel is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cached {
    /// No.
    No,
    /// Yes, and it is the one that the index names.
    Yes,
    /// An older build of it, of this release.
    Older(String),
}

/// Where kernels come from, and how.
#[derive(Debug, Clone)]
pub struct Source {
    /// The mirror's address; none to take the one that the host's apt configuration names.
    pub mirror: Option<String>,
}

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The catalogue does not have it.
    #[error("there is no kernel `{0}` in the catalogue; `seaworthy image list` shows all")]
    Unknown(Wanted),
}

impl ImageStore {
    /// Opens the cache in `cache`, which is made when something is fetched.
    pub fn open(cache: &Path, catalogue: Catalogue) -> Self {
        Self {
            cache: cache.to_owned(),
            catalogue,
        }
    }

    /// The folder that keeps everything.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Every entry of the catalogue with what is known of it here; asks no network.
    pub fn list(&self) -> Result<Vec<Listed>, StoreError> {
        Ok(self
            .catalogue
            .entries()
            .iter()
            .map(|entry| Listed {
                id: entry.id.clone(),
                settled: None,
                release: None,
                size: None,
                cached: Cached::No,
                suite: entry.suite.clone(),
            })
            .collect())
    }

    /// The kernel, if it is in the cache: the build that the newest index names, else the newest
    /// that is there.
    pub fn kernel(&self, wanted: &Wanted) -> Result<Option<Kernel>, StoreError> {
        Err(StoreError::Unknown(wanted.clone()))
    }

    /// Gets the newest builds of all that is wanted, and gives them back in that order.
    pub fn fetch(
        &self,
        wanted: &[Wanted],
        _source: &Source,
        _progress: &dyn Progress,
    ) -> Result<Vec<Kernel>, StoreError> {
        match wanted.first() {
            Some(first) => Err(StoreError::Unknown(first.clone())),
            None => Ok(Vec::new()),
        }
    }

    /// A kernel of the user's own: a bzImage or an ELF image, with the folder of its modules
    /// (`/lib/modules/RELEASE`), or none if all is built in.
    pub fn own(&self, kernel: &Path, _modules: Option<&Path>) -> Result<Kernel, StoreError> {
        drop(kernel.metadata());
        Err(StoreError::Unknown(Wanted::Newest(
            matrix::arch::Arch::Amd64,
        )))
    }
}
