//! The kernels that a plan's virtual machines boot.

use std::collections::BTreeMap;

use matrix::axis::TargetKind;
use matrix::cell::Cell;
use matrix::matrix_file::KernelName;
use matrix::plan::{NEWEST, Plan, PlanError};
use vm_images::catalogue::{InvalidKernelId, Wanted};
use vm_images::kernel::{Kernel, Origin};

use super::Breakage;
use super::breakage::told;
use crate::run::facts::KernelFacts;

/// The distribution of cells that run a kernel of the user's own.
pub const CUSTOM: &str = "custom";

/// The kernels of a plan, by the first three parts of the ids of their cells; for those that
/// could not be had, why.
#[derive(Debug, Clone, Default)]
pub struct Kernels(BTreeMap<String, Result<Kernel, Breakage>>);

/// Something that gets kernels, all or none.
pub type Get<'a> =
    dyn FnMut(&[Wanted]) -> Result<Vec<Kernel>, Box<dyn std::error::Error + Send + Sync>> + 'a;

impl Kernels {
    /// Gets every kernel that the plan's micro targets need, `own` being the user's, and settles
    /// the plan's names. One that can't be had is no reason to test nothing on the others.
    ///
    /// # Errors
    /// A settled name is in the plan already.
    pub fn for_plan(
        plan: &mut Plan,
        own: Option<&Kernel>,
        get: &mut Get<'_>,
    ) -> Result<Self, PlanError> {
        let mut kernels = BTreeMap::new();
        let mut wanted: Vec<(String, Wanted)> = Vec::new();
        for cell in plan
            .cells
            .iter()
            .filter(|cell| cell.target == TargetKind::Micro)
        {
            let name = kernel_name(cell);
            if cell.distro == CUSTOM {
                let own = own.cloned().ok_or_else(|| {
                    Breakage::new(
                        "no-kernel",
                        "the cell needs a kernel of your own: give `--kernel`",
                    )
                });
                kernels.insert(name, own);
            } else if wanted.iter().all(|(known, _)| *known != name) {
                match Self::wanted(cell) {
                    Ok(kernel) => wanted.push((name, kernel)),
                    Err(error) => {
                        kernels.insert(name, Err(Breakage::of("no-kernel", &error)));
                    }
                }
            }
        }
        let all: Vec<Wanted> = wanted.iter().map(|(_, wanted)| wanted.clone()).collect();
        let got = if all.is_empty() {
            Ok(Vec::new())
        } else {
            get(&all)
        };
        let got: Vec<Result<Kernel, Breakage>> = match got {
            Ok(kernels) if kernels.len() == all.len() => kernels.into_iter().map(Ok).collect(),
            // Which of them it was shows when each is asked for alone.
            Ok(_) | Err(_) => all.iter().map(|wanted| alone(wanted, get)).collect(),
        };
        for ((name, _), kernel) in wanted.into_iter().zip(got) {
            let name = match &kernel {
                Ok(kernel) => settle(plan, &name, kernel)?,
                Err(_) => name,
            };
            kernels.insert(name, kernel);
        }
        Ok(Self(kernels))
    }

    /// What a cell's kernel is in the catalogue.
    ///
    /// # Errors
    /// It can't be there.
    pub fn wanted(cell: &Cell) -> Result<Wanted, InvalidKernelId> {
        kernel_name(cell).parse()
    }

    /// The kernel of a cell.
    ///
    /// # Errors
    /// Why it could not be had.
    pub fn of(&self, cell: &Cell) -> Result<&Kernel, Breakage> {
        match self.0.get(&kernel_name(cell)) {
            Some(Ok(kernel)) => Ok(kernel),
            Some(Err(breakage)) => Err(breakage.clone()),
            None => Err(Breakage::new(
                "no-kernel",
                "nobody asked for the cell's kernel",
            )),
        }
    }

    /// One of them, if there is any.
    pub fn any(&self) -> Option<&Kernel> {
        self.0.values().find_map(|kernel| kernel.as_ref().ok())
    }

    /// Why no kernel at all could be had, if so.
    pub fn all_failed(&self) -> Option<&Breakage> {
        let mut failures = self.0.values().map(|kernel| kernel.as_ref().err());
        match failures.next() {
            Some(first) if failures.all(|failure| failure.is_some()) => first,
            _ => None,
        }
    }

    /// What `run.json` says of them.
    pub fn facts(&self) -> Vec<KernelFacts> {
        self.0
            .iter()
            .filter_map(|(name, kernel)| {
                let kernel = kernel.as_ref().ok()?;
                Some(KernelFacts {
                    name: name.clone(),
                    release: kernel.release.clone(),
                    origin: origin(&kernel.origin),
                })
            })
            .collect()
    }
}

/// The first three parts of a cell's id.
pub(super) fn kernel_name(cell: &Cell) -> String {
    let parts: Vec<&str> = cell.id.as_str().splitn(4, '/').take(3).collect();
    parts.join("/")
}

fn alone(wanted: &Wanted, get: &mut Get<'_>) -> Result<Kernel, Breakage> {
    match get(std::slice::from_ref(wanted)) {
        Ok(kernels) => (kernels.into_iter().next())
            .ok_or_else(|| Breakage::new("no-kernel", format!("`{wanted}` was not given"))),
        Err(error) => Err(Breakage::new("no-kernel", told(error.as_ref()))),
    }
}

/// Gives a kernel that was called `newest` its release and series, in the plan too; the name that
/// it has then.
fn settle(plan: &mut Plan, name: &str, kernel: &Kernel) -> Result<String, PlanError> {
    let parts: Vec<&str> = name.split('/').collect();
    let (&[system, NEWEST, arch], Some(id)) = (parts.as_slice(), &kernel.id) else {
        return Ok(name.to_owned());
    };
    let found = KernelName {
        distro: id.distro.clone(),
        release: id.release.clone(),
        kernel: kernel.version.series().to_string(),
    };
    plan.settle(system, kernel.arch, &found)?;
    Ok(format!("{found}/{arch}"))
}

fn origin(origin: &Origin) -> Vec<String> {
    match origin {
        Origin::Packages(packages) => packages
            .iter()
            .map(|package| {
                format!(
                    "{} {} sha256:{}",
                    package.name, package.version, package.sha256
                )
            })
            .collect(),
        Origin::Files {
            kernel,
            sha256,
            modules,
        } => {
            let name = kernel.file_name().unwrap_or(kernel.as_os_str());
            let kernel = format!("{} sha256:{sha256}", name.to_string_lossy());
            let modules = modules.as_ref();
            let modules = modules.map(|modules| format!("modules sha256:{}", modules.sha256));
            std::iter::once(kernel).chain(modules).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use matrix::matrix_file::MatrixFile;
    use matrix::plan::Filter;
    use vm_images::kernel::OwnModules;
    use vm_images::modules::ModuleTree;

    use super::*;

    fn plan() -> Plan {
        let filter = Filter {
            only: vec!["storage=vfs and not kernel=5.10".parse().unwrap()],
            skip: Vec::new(),
        };
        let matrix = MatrixFile::built_in("quick").unwrap();
        Plan::new("quick", &matrix, None, &filter).unwrap()
    }

    fn kernel(wanted: &Wanted) -> Kernel {
        let (id, release) = match wanted {
            Wanted::Kernel(id) => (id.clone(), "6.1.0-1-amd64"),
            Wanted::Newest { .. } => ("debian-sid/newest/amd64".parse().unwrap(), "7.2.3-amd64"),
        };
        Kernel {
            release: release.into(),
            version: release.parse().unwrap(),
            arch: id.arch,
            id: Some(id),
            boot: "/vmlinux".into(),
            vmlinux: "/vmlinux".into(),
            config: None,
            modules: ModuleTree::monolithic(release),
            origin: Origin::Packages(Vec::new()),
        }
    }

    #[test]
    fn the_newest_kernel_gives_its_cells_their_name() {
        let mut plan = plan();
        let mut get = |wanted: &[Wanted]| Ok(wanted.iter().map(kernel).collect());
        let kernels = Kernels::for_plan(&mut plan, None, &mut get).unwrap();
        let newest = plan.cells.last().unwrap();
        assert_eq!(newest.id.as_str(), "debian-sid/7.2/amd64/vfs/v2");
        assert_eq!(kernels.of(newest).unwrap().release, "7.2.3-amd64");
        let names: Vec<_> = kernels
            .facts()
            .into_iter()
            .map(|facts| facts.name)
            .collect();
        assert_eq!(
            names,
            [
                "debian-12/6.1/amd64",
                "debian-13/6.12/amd64",
                "debian-sid/7.2/amd64"
            ]
        );
    }

    #[test]
    fn a_kernel_that_cannot_be_had_leaves_the_others() {
        let mut plan = plan();
        let mut get = |wanted: &[Wanted]| match wanted
            .iter()
            .find(|wanted| wanted.to_string().contains("6.12"))
        {
            Some(_) => Err("the mirror does not have it".into()),
            None => Ok(wanted.iter().map(kernel).collect()),
        };
        let kernels = Kernels::for_plan(&mut plan, None, &mut get).unwrap();
        assert!(kernels.all_failed().is_none());
        let had: Vec<bool> = plan
            .cells
            .iter()
            .map(|cell| kernels.of(cell).is_ok())
            .collect();
        assert_eq!(had, [true, false, true]);
        let why = kernels.of(&plan.cells[1]).unwrap_err();
        assert_eq!(
            why,
            Breakage::new("no-kernel", "the mirror does not have it")
        );
    }

    #[test]
    fn a_kernel_of_the_users_own_is_known_by_its_modules_too() {
        let files = |modules: Option<&str>| {
            origin(&Origin::Files {
                kernel: "/boot/bzImage".into(),
                sha256: "5f".into(),
                modules: modules.map(|sha256| OwnModules {
                    folder: "/lib/modules/6.6.1".into(),
                    sha256: sha256.to_owned(),
                }),
            })
        };
        assert_eq!(files(None), ["bzImage sha256:5f"]);
        let both = files(Some("a0"));
        assert_eq!(both, ["bzImage sha256:5f", "modules sha256:a0"]);
    }

    #[test]
    fn without_any_kernel_the_reason_is_told() {
        let mut plan = plan();
        let mut get = |_: &[Wanted]| Err("no network".into());
        let kernels = Kernels::for_plan(&mut plan, None, &mut get).unwrap();
        assert_eq!(kernels.all_failed().unwrap().detail, "no network");
        assert!(plan.cells.last().unwrap().id.as_str().contains(NEWEST));
    }
}
