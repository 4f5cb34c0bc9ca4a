//! Plans: a matrix file spread out into cells, with a reason for every cell that is not there.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arch::Arch;
use crate::axis::CgroupMode;
use crate::cell::{Cell, CellId, InvalidCellId};
use crate::matrix_file::{Group, KernelName, MatrixFile};
use crate::select::Selection;

/// The value of `schema` in a plan.
pub const PLAN_SCHEMA: &str = "seaworthy.plan/1";

/// The name of a kernel whose series is only known once it was fetched.
pub const NEWEST: &str = "newest";

/// What is to be run, and what is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// [`PLAN_SCHEMA`].
    pub schema: String,
    /// The matrix that it was made from (`quick`).
    pub matrix: String,
    /// The cells to run, in the matrix's order.
    pub cells: Vec<Cell>,
    /// The cells that are not run, each with its reason.
    pub excluded: Vec<Excluded>,
}

/// A cell that is not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Excluded {
    /// Its stable name.
    pub id: CellId,
    /// Why, in words for a person.
    pub reason: String,
    /// Who took it out.
    pub by: ExcludedBy,
    /// The cell itself.
    pub cell: Cell,
}

/// Who took a cell out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExcludedBy {
    /// The matrix file: the cell can't be run. Results show it as not tested.
    Matrix,
    /// `--only` or `--skip`: nobody asked for it. Results leave it out.
    Selection,
}

/// A system that no matrix file describes: this machine, or a kernel of the user's own. It
/// stands for the axes that a group leaves open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// The distribution, as `ID` in `/etc/os-release` has it; `custom` for a kernel alone.
    pub distro: String,
    /// Its release; empty where it has none.
    pub release: String,
    /// The kernel's series or name.
    pub kernel: String,
    /// What it is built for.
    pub arch: Arch,
    /// How its control groups are mounted.
    pub cgroup: CgroupMode,
}

/// What the user asked to see of a matrix. Empty: all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// A cell must be meant by one of these, if there are any.
    pub only: Vec<Selection>,
    /// A cell must be meant by none of these.
    pub skip: Vec<Selection>,
}

/// Why a matrix file gives no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// An axis is open, and there is no system that fills it.
    #[error(
        "group {group} of matrix `{matrix}` leaves `{axis}` open: name it there, or plan for this machine (`--matrix here`) or for a kernel of your own (`--kernel`)"
    )]
    OpenAxis {
        /// The matrix.
        matrix: String,
        /// Which group, from 1.
        group: usize,
        /// The axis.
        axis: &'static str,
    },
    /// The parts of a cell make no id.
    #[error("matrix `{matrix}` names a cell that can't be")]
    Id {
        /// The matrix.
        matrix: String,
        /// What is wrong with it.
        #[source]
        source: InvalidCellId,
    },
    /// Two groups have a cell in common.
    #[error("matrix `{matrix}` has the cell `{id}` twice: take it out of one group")]
    Twice {
        /// The matrix.
        matrix: String,
        /// The cell.
        id: CellId,
    },
}

impl Plan {
    /// Spreads `matrix` out. `system` fills the axes that it leaves open.
    ///
    /// # Errors
    /// An axis stays open, or a cell is ill-named or there twice.
    pub fn new(
        name: &str,
        matrix: &MatrixFile,
        system: Option<&System>,
        filter: &Filter,
    ) -> Result<Self, PlanError> {
        let mut plan = Self {
            schema: PLAN_SCHEMA.to_owned(),
            matrix: name.to_owned(),
            cells: Vec::new(),
            excluded: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        for (index, group) in matrix.groups.iter().enumerate() {
            for cell in spread(name, index + 1, group, &matrix.suites, system)? {
                if !seen.insert(cell.id.clone()) {
                    return Err(PlanError::Twice {
                        matrix: name.to_owned(),
                        id: cell.id,
                    });
                }
                // What nobody asked for is not worth explaining further, so the filter comes first.
                let refusal = filter
                    .refusal(&cell)
                    .map(|reason| (ExcludedBy::Selection, reason))
                    .or_else(|| {
                        let exclude = matrix.excludes.iter().find(|e| e.cells.matches(&cell))?;
                        Some((ExcludedBy::Matrix, exclude.reason.clone()))
                    });
                match refusal {
                    None => plan.cells.push(cell),
                    Some((by, reason)) => plan.excluded.push(Excluded {
                        id: cell.id.clone(),
                        reason,
                        by,
                        cell,
                    }),
                }
            }
        }
        Ok(plan)
    }

    /// Gives the cells of `system` (`debian-sid`, or `debian` for whichever release has it) and
    /// `arch` whose kernel is called `newest` the name that it turned out to have, so that their
    /// ids mean the same next year.
    ///
    /// # Errors
    /// The plan has those cells already, or the name makes no id.
    pub fn settle(&mut self, system: &str, arch: Arch, to: &KernelName) -> Result<(), PlanError> {
        let from = format!("{system}/{NEWEST}/{arch}/");
        let excluded = (self.excluded.iter_mut()).map(|e| (&mut e.cell, Some(&mut e.id)));
        for (cell, excluded_id) in self.cells.iter_mut().map(|c| (c, None)).chain(excluded) {
            let Some(rest) = cell.id.as_str().strip_prefix(&from) else {
                continue;
            };
            let id: CellId =
                format!("{to}/{arch}/{rest}")
                    .parse()
                    .map_err(|source| PlanError::Id {
                        matrix: self.matrix.clone(),
                        source,
                    })?;
            to.distro.clone_into(&mut cell.distro);
            to.release.clone_into(&mut cell.release);
            to.kernel.clone_into(&mut cell.kernel);
            cell.id = id.clone();
            if let Some(excluded_id) = excluded_id {
                *excluded_id = id;
            }
        }
        let mut seen = BTreeSet::new();
        let excluded = self.excluded.iter().map(|excluded| &excluded.id);
        for id in self.cells.iter().map(|cell| &cell.id).chain(excluded) {
            if !seen.insert(id) {
                return Err(PlanError::Twice {
                    matrix: self.matrix.clone(),
                    id: id.clone(),
                });
            }
        }
        Ok(())
    }

    /// The cell of that name, whether it is run or not.
    pub fn cell(&self, id: &CellId) -> Option<&Cell> {
        let excluded = self.excluded.iter().map(|excluded| &excluded.cell);
        self.cells
            .iter()
            .chain(excluded)
            .find(|cell| cell.id == *id)
    }
}

impl Filter {
    /// Why the user doesn't want `cell`.
    fn refusal(&self, cell: &Cell) -> Option<String> {
        if !self.only.is_empty() && !self.only.iter().any(|only| only.matches(cell)) {
            let only: Vec<_> = self.only.iter().map(Selection::as_str).collect();
            return Some(format!("not in `--only {}`", only.join("` or `--only ")));
        }
        let skip = self.skip.iter().find(|skip| skip.matches(cell))?;
        Some(format!("left out by `--skip {skip}`"))
    }
}

/// The product of a group's axes.
fn spread(
    matrix: &str,
    number: usize,
    group: &Group,
    suites: &[String],
    system: Option<&System>,
) -> Result<Vec<Cell>, PlanError> {
    let open = |axis| PlanError::OpenAxis {
        matrix: matrix.to_owned(),
        group: number,
        axis,
    };
    let kernels = match (&group.kernels, system) {
        (Some(kernels), _) => kernels.clone(),
        (None, Some(system)) => vec![KernelName {
            distro: system.distro.clone(),
            release: system.release.clone(),
            kernel: system.kernel.clone(),
        }],
        (None, None) => return Err(open("kernels")),
    };
    let arches = match (&group.arch, system) {
        (Some(arches), _) => arches.clone(),
        (None, Some(system)) => vec![system.arch],
        (None, None) => return Err(open("arch")),
    };
    let cgroups = match (&group.cgroup, system) {
        (Some(cgroups), _) => cgroups.clone(),
        (None, Some(system)) => vec![system.cgroup],
        (None, None) => return Err(open("cgroup")),
    };
    let mut cells = Vec::new();
    for kernel in &kernels {
        for &arch in &arches {
            for &storage in &group.storage {
                for &cgroup in &cgroups {
                    cells.push(Cell {
                        id: id(matrix, kernel, arch, storage.name(), cgroup)?,
                        distro: kernel.distro.clone(),
                        release: kernel.release.clone(),
                        kernel: kernel.kernel.clone(),
                        arch,
                        storage,
                        cgroup,
                        target: group.target,
                        suites: suites.to_vec(),
                    });
                }
            }
        }
    }
    Ok(cells)
}

fn id(
    matrix: &str,
    kernel: &KernelName,
    arch: Arch,
    storage: &str,
    cgroup: CgroupMode,
) -> Result<CellId, PlanError> {
    format!("{kernel}/{arch}/{storage}/{cgroup}")
        .parse()
        .map_err(|source| PlanError::Id {
            matrix: matrix.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn listing(plan: &Plan) -> String {
        let mut text = String::new();
        for cell in &plan.cells {
            writeln!(text, "{}", cell.id).unwrap();
        }
        for excluded in &plan.excluded {
            writeln!(text, "- {}: {:?}", excluded.id, excluded.by).unwrap();
        }
        text
    }

    fn quick(only: &[&str], skip: &[&str]) -> Plan {
        let read = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let filter = Filter {
            only: read(only),
            skip: read(skip),
        };
        let matrix = MatrixFile::built_in("quick").unwrap();
        Plan::new("quick", &matrix, None, &filter).unwrap()
    }

    #[test]
    fn the_quick_matrix_has_four_kernels_and_says_why_there_is_no_aufs() {
        insta::assert_snapshot!(listing(&quick(&[], &[])), @r"
        debian-11/5.10/amd64/overlay/v2
        debian-11/5.10/amd64/btrfs/v2
        debian-11/5.10/amd64/vfs/v2
        debian-12/6.1/amd64/overlay/v2
        debian-12/6.1/amd64/btrfs/v2
        debian-12/6.1/amd64/vfs/v2
        debian-13/6.12/amd64/overlay/v2
        debian-13/6.12/amd64/btrfs/v2
        debian-13/6.12/amd64/vfs/v2
        debian/newest/amd64/overlay/v2
        debian/newest/amd64/btrfs/v2
        debian/newest/amd64/vfs/v2
        - debian-11/5.10/amd64/aufs/v2: Matrix
        - debian-12/6.1/amd64/aufs/v2: Matrix
        - debian-13/6.12/amd64/aufs/v2: Matrix
        - debian/newest/amd64/aufs/v2: Matrix
        ");
    }

    #[test]
    fn a_cell_that_nobody_asked_for_says_which_option_left_it_out() {
        let plan = quick(&["kernel=6.1"], &["storage=vfs"]);
        let ids: Vec<_> = plan.cells.iter().map(|cell| cell.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "debian-12/6.1/amd64/overlay/v2",
                "debian-12/6.1/amd64/btrfs/v2"
            ]
        );
        let reason = |id: &str| {
            let excluded = plan.excluded.iter().find(|e| e.id.as_str() == id).unwrap();
            excluded.reason.clone()
        };
        assert_eq!(
            reason("debian-12/6.1/amd64/vfs/v2"),
            "left out by `--skip storage=vfs`"
        );
        assert_eq!(
            reason("debian-11/5.10/amd64/vfs/v2"),
            "not in `--only kernel=6.1`"
        );
    }

    #[test]
    fn this_machine_fills_the_open_axes() {
        let system = System {
            distro: "debian".into(),
            release: "12".into(),
            kernel: "6.18".into(),
            arch: Arch::Amd64,
            cgroup: CgroupMode::Hybrid,
        };
        let matrix = MatrixFile::built_in("here").unwrap();
        let plan = Plan::new("here", &matrix, Some(&system), &Filter::default()).unwrap();
        insta::assert_snapshot!(listing(&plan), @r"
        debian-12/6.18/amd64/overlay/hybrid
        debian-12/6.18/amd64/btrfs/hybrid
        debian-12/6.18/amd64/vfs/hybrid
        ");
        assert!(matches!(
            Plan::new("here", &matrix, None, &Filter::default()),
            Err(PlanError::OpenAxis {
                group: 1,
                axis: "kernels",
                ..
            })
        ));
    }

    #[test]
    fn a_newest_kernel_gets_the_name_that_it_turned_out_to_have() {
        let mut plan = quick(&["kernel=newest"], &[]);
        let found = "debian-sid/7.2".parse().unwrap();
        plan.settle("debian", Arch::Amd64, &found).unwrap();
        let ids: Vec<_> = plan.cells.iter().map(|cell| cell.id.as_str()).collect();
        assert_eq!(ids[0], "debian-sid/7.2/amd64/overlay/v2");
        let parts = |cell: &Cell| {
            [
                cell.distro.clone(),
                cell.release.clone(),
                cell.kernel.clone(),
            ]
        };
        assert!(
            plan.cells
                .iter()
                .all(|cell| parts(cell) == ["debian", "sid", "7.2"])
        );
        let aufs = plan.excluded.last().unwrap();
        assert_eq!(
            (aufs.id.as_str(), &aufs.id),
            ("debian-sid/7.2/amd64/aufs/v2", &aufs.cell.id)
        );
        let mut plan = quick(&[], &[]);
        let odd = "debian-sid/..".parse().unwrap();
        let error = plan.settle("debian", Arch::Amd64, &odd).unwrap_err();
        assert!(matches!(error, PlanError::Id { .. }), "{error}");
    }

    #[test]
    fn a_cell_cannot_be_planned_twice() {
        let text = r#"
            description = "twice"
            suites = []
            [[group]]
            target = "micro"
            kernels = ["debian-12/6.1", "debian-12/6.1"]
            arch = ["amd64"]
            storage = ["vfs"]
            cgroup = ["v2"]
        "#;
        let matrix = MatrixFile::parse("twice", text).unwrap();
        let error = Plan::new("twice", &matrix, None, &Filter::default()).unwrap_err();
        assert!(matches!(error, PlanError::Twice { .. }), "{error}");
    }

    #[test]
    fn a_name_cannot_leave_the_run_folder() {
        let text = r#"
            description = "escape"
            suites = []
            [[group]]
            target = "micro"
            kernels = ["debian-12/.."]
            arch = ["amd64"]
            storage = ["vfs"]
            cgroup = ["v2"]
        "#;
        let matrix = MatrixFile::parse("escape", text).unwrap();
        let error = Plan::new("escape", &matrix, None, &Filter::default()).unwrap_err();
        assert!(matches!(error, PlanError::Id { .. }), "{error}");
    }
}
