//! A report's contents, from a run folder.

use std::collections::BTreeMap;
use std::io;

use matrix::cell::CellId;
use matrix::event::Entry;
use matrix::plan::{Excluded, ExcludedBy, Plan};

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
                left_out: left_out(&run.plan),
                took_ms: took_ms(&folder.journal),
            },
            evidence: (folder.cells.iter())
                .map(|(id, cell)| (id.clone(), evidence(id, cell, &folder.journal)))
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

/// What nobody asked for, by reason. Cells that the matrix itself rules out are in the results.
fn left_out(plan: &Plan) -> Vec<(String, Vec<CellId>)> {
    let mut reasons: Vec<(String, Vec<CellId>)> = Vec::new();
    let excluded = plan.excluded.iter();
    for Excluded { id, reason, .. } in excluded.filter(|e| e.by == ExcludedBy::Selection) {
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, ids)) => ids.push(id.clone()),
            None => reasons.push((reason.clone(), vec![id.clone()])),
        }
    }
    reasons
}

/// How long machines were at work, those that ran side by side counted once. What lies between an
/// interruption and its resumption belongs to no machine.
fn took_ms<'a>(journal: impl IntoIterator<Item = &'a Entry>) -> u64 {
    let mut machines: BTreeMap<(&CellId, u32), (u64, u64)> = BTreeMap::new();
    for entry in journal {
        let at = entry.at_ms;
        let (from, to) = (machines.entry((&entry.cell, entry.attempt))).or_insert((at, at));
        *from = at.min(*from);
        *to = at.max(*to);
    }
    let mut times: Vec<(u64, u64)> = machines.into_values().collect();
    times.sort_unstable();
    let mut done = 0;
    (times.into_iter())
        .map(|(from, to)| {
            let more = to.saturating_sub(from.max(done));
            done = done.max(to);
            more
        })
        .sum()
}

fn evidence(id: &CellId, cell: &CellFolder, journal: &[Entry]) -> Evidence {
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
        took_ms: took_ms(journal.iter().filter(|entry| entry.cell == *id)),
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

#[cfg(test)]
mod tests {
    use matrix::event::Event;

    use super::*;

    #[test]
    fn machines_side_by_side_and_pauses_are_not_counted() {
        let entry = |cell: &str, attempt, at_ms| Entry {
            seq: 0,
            at_ms,
            cell: cell.parse().unwrap(),
            attempt,
            event: Event::Finished,
        };
        let (one, other) = ("debian-12/6.1/amd64/vfs/v2", "debian-12/6.1/amd64/btrfs/v2");
        let journal = [
            entry(one, 1, 1000),
            entry(other, 1, 1500),
            entry(one, 1, 3000),
            entry(other, 1, 4000),
            // Broken off, and resumed much later.
            entry(one, 2, 90_000),
            entry(one, 2, 90_500),
        ];
        assert_eq!(took_ms(&journal), 3500);
    }
}
