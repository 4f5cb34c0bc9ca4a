//! What a judge of support may look at.

use std::collections::{BTreeMap, BTreeSet};

use crate::kconfig::Kconfig;
use crate::requirement::RequirementId;

use super::KernelIdentity;

/// All that is known of a system. Every part but the identity may be missing.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// What is judged. A version here goes over the one in the configuration's header.
    pub kernel: KernelIdentity,
    /// The configuration that the kernel was built from.
    pub config: Option<Kconfig>,
    /// What trying it out on the running system showed; each decides over the configuration.
    pub probes: BTreeMap<RequirementId, Probe>,
    /// The modules that can be loaded; `None` when the system has no folder of modules, so that
    /// nothing is known about them.
    pub modules: Option<Modules>,
}

/// What trying out one requirement on a running system showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// It works.
    Works {
        /// What was done.
        how: String,
    },
    /// It does not work, and no module would change that.
    Fails {
        /// What was done, and what the kernel said.
        why: String,
    },
    /// It does not work now; a module that is not loaded may bring it.
    NotLoaded {
        /// What was done, and what the kernel said.
        why: String,
    },
    /// Trying was not possible, for lack of a privilege or a tool.
    Undecided {
        /// What stood in the way.
        why: String,
    },
}

/// The modules of a running system, by name, with `_` for `-`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Modules {
    /// Those that are built in (`modules.builtin`).
    pub built_in: BTreeSet<String>,
    /// Those that can be loaded (`modules.dep`).
    pub loadable: BTreeSet<String>,
}

impl Modules {
    /// Adds the lines of a `modules.dep` (`kernel/fs/overlayfs/overlay.ko.xz: …`).
    pub fn add_loadable(&mut self, modules_dep: &str) {
        self.loadable.extend(
            modules_dep
                .lines()
                .filter_map(|line| line.split(':').next())
                .filter_map(module_name),
        );
    }

    /// Adds the lines of a `modules.builtin` (`kernel/fs/ext4/ext4.ko`).
    pub fn add_built_in(&mut self, modules_builtin: &str) {
        self.built_in
            .extend(modules_builtin.lines().filter_map(module_name));
    }

    /// Whether a module is there in either way.
    pub fn has(&self, name: &str) -> bool {
        self.built_in.contains(name) || self.loadable.contains(name)
    }
}

/// `xt_MASQUERADE` of `kernel/net/netfilter/xt_MASQUERADE.ko.zst`.
fn module_name(path: &str) -> Option<String> {
    let file = path.trim().rsplit('/').next()?;
    let (name, _) = file.split_once(".ko")?;
    (!name.is_empty()).then(|| name.replace('-', "_"))
}
