//! A report's contents, from a run folder.

use std::io;

use matrix::cell::CellId;

use super::{About, Evidence, Gap, Report};
use crate::run::facts::HostFacts;
use crate::run::folder::{CellFolder, RunFolder, name};
use crate::run::system_check::{CheckedRequirement, SystemCheck};

impl From<&RunFolder> for Report {
    fn from(folder: &RunFolder) -> Self {
        let run = &folder.run;
        Self {
            results: folder.results.clone(),
            about: About {
                matrix: run.plan.matrix.clone(),
                started: run.started.clone(),
                harness: run.harness.clone(),
                host: host(&run.host),
                accelerator: run.accelerator.clone(),
                excluded: (run.plan.excluded.iter())
                    .map(|excluded| (excluded.id.to_string(), excluded.reason.clone()))
                    .collect(),
            },
            evidence: (folder.cells.iter())
                .map(|(id, cell)| -> (CellId, Evidence) { (id.clone(), evidence(cell)) })
                .collect(),
        }
    }
}

/// Writes every format into the run folder's `report/`.
///
/// # Errors
/// Those of the file system.
pub fn write_report(folder: &RunFolder) -> io::Result<()> {
    super::write_all(&Report::from(folder), &folder.path.join(name::REPORT))
}

fn host(host: &HostFacts) -> String {
    format!(
        "{}, Linux {} ({}), {}, {} MiB",
        host.system,
        host.kernel_release,
        host.arch,
        super::plural(host.cpus, "processor"),
        host.memory_mib,
    )
}

fn evidence(cell: &CellFolder) -> Evidence {
    let check: Option<SystemCheck> = cell
        .check
        .clone()
        .and_then(|check| serde_json::from_value(check).ok());
    Evidence {
        console: cell
            .console
            .as_ref()
            .map(|console| console.text.clone())
            .unwrap_or_default(),
        console_cut: cell.console.as_ref().map_or(0, |console| console.cut),
        gaps: check
            .map(|check| check.requirements)
            .unwrap_or_default()
            .into_iter()
            .filter_map(gap)
            .collect(),
    }
}

/// What is absent of what should be there. An absent `may` is a choice of the system, no gap.
fn gap(requirement: CheckedRequirement) -> Option<Gap> {
    (requirement.state == "absent" && requirement.level != "may").then(|| Gap {
        id: requirement.id,
        level: requirement.level,
        remedy: requirement
            .remedy
            .unwrap_or_else(|| "no remedy is known".to_owned()),
    })
}
