//! The system that this runs on: its configuration and modules, and what trying out shows.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use matrix::arch::Arch;
use matrix::kconfig::Kconfig;
use matrix::support::{Evidence, KernelIdentity, Modules};

use super::{input, probe};

/// Gathers all that this system shows. What can't be read is left out: probes decide.
pub fn evidence() -> Evidence {
    let system = nix::sys::utsname::uname().ok();
    let release = system
        .as_ref()
        .map(|uts| uts.release().to_string_lossy().into_owned());
    let machine = system
        .as_ref()
        .map(|uts| uts.machine().to_string_lossy().into_owned());
    let config = release.as_deref().and_then(config);
    Evidence {
        kernel: KernelIdentity {
            version: release.as_deref().and_then(|release| release.parse().ok()),
            arch: machine
                .map(|name| Arch::from_name(&name).map_or(name, |arch| arch.name().to_owned())),
            source: "running".to_owned(),
            release: release.clone(),
        },
        config,
        probes: probe::all(),
        modules: release.as_deref().and_then(modules),
    }
}

/// The first configuration that can be read and is one, of the places where there may be one.
fn config(release: &str) -> Option<Kconfig> {
    let places = [
        PathBuf::from("/proc/config.gz"),
        PathBuf::from(format!("/boot/config-{release}")),
        PathBuf::from(format!("/lib/modules/{release}/config")),
        PathBuf::from(format!("/usr/lib/modules/{release}/config")),
        PathBuf::from(format!("/lib/modules/{release}/build/.config")),
    ];
    places
        .iter()
        .filter_map(|path| Some((path, File::open(path).ok()?)))
        .find_map(|(path, file)| input::read_config(file, path).ok())
}

/// The modules of the running kernel; `None` when it has no folder of them.
fn modules(release: &str) -> Option<Modules> {
    let folder = Path::new("/lib/modules").join(release);
    let loadable = fs::read_to_string(folder.join("modules.dep")).ok()?;
    let mut modules = Modules::default();
    modules.add_loadable(&loadable);
    if let Ok(built_in) = fs::read_to_string(folder.join("modules.builtin")) {
        modules.add_built_in(&built_in);
    }
    Some(modules)
}
