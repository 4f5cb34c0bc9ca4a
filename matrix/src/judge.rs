//! The judge: plan + journal + policy → results. A pure function, so that anyone can repeat it.
//!
//! What it promises, whatever the order of the journal:
//! - a case that was skipped, broke or is missing never counts as passed, and a machine that
//!   failed never counts against the engine;
//! - a case that passes after all never makes a verdict worse;
//! - a cell that is not in the journal is not tested;
//! - an engine that was sabotaged is never certified.

mod cell;
mod evidence;
mod sabotage;
#[cfg(test)]
mod tests;

use jiff::civil::Date;

use crate::axis::Accelerator;
use crate::cell::Cell;
use crate::event::Entry;
use crate::outcome::{CaseResult, Outcome};
use crate::plan::{ExcludedBy, Plan};
use crate::policy::{Lenience, Policy};
use crate::results::{CellResult, EngineIdentity, RESULTS_SCHEMA, Results, Selftest, Totals};
use crate::sabotage::Sabotage;
use crate::verdict::Verdict;

use evidence::Evidence;

/// All that a journal is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    /// The cells that there should be.
    pub plan: &'a Plan,
    /// What is demanded of them.
    pub policy: &'a Policy,
    /// Which engine was run.
    pub engine: &'a EngineIdentity,
    /// The known fault in it, if one was built in.
    pub sabotage: Option<&'a Sabotage>,
    /// How the suites did against known-bad engines, where that was measured.
    pub selftest: Option<&'a Selftest>,
    /// The ids of all cases that the harness has, `suite.area.name`: those of a cell's suites
    /// are expected in it.
    pub cases: &'a [String],
    /// The day that waivers are held against.
    pub today: Date,
}

/// Judges a journal.
pub fn judge(trial: &Trial<'_>, journal: &[Entry]) -> Results {
    let mut cells: Vec<(&Cell, CellResult)> = trial
        .plan
        .cells
        .iter()
        .map(|cell| (cell, judge_cell(trial, cell, journal)))
        .collect();
    cells.extend(
        (trial.plan.excluded.iter())
            .filter(|excluded| excluded.by == ExcludedBy::Matrix)
            .map(|excluded| (&excluded.cell, untouched(&excluded.cell, &excluded.reason))),
    );
    let (verdict, reasons) = run_verdict(trial, &cells);
    let cells: Vec<CellResult> = cells.into_iter().map(|(_, result)| result).collect();
    Results {
        schema: RESULTS_SCHEMA.to_owned(),
        engine: trial.engine.clone(),
        verdict,
        reasons,
        policy: trial.policy.name.clone(),
        totals: totals(&cells),
        cells,
        selftest: trial.selftest.cloned(),
    }
}

/// The suite of a case: what stands before the first dot of its id.
pub fn suite_of(case: &str) -> &str {
    case.split('.').next().unwrap_or(case)
}

fn judge_cell(trial: &Trial<'_>, cell: &Cell, journal: &[Entry]) -> CellResult {
    let evidence = Evidence::of(&cell.id, journal);
    let case_results = observed_and_missing(trial, cell, &evidence);
    let (mut verdict, mut reasons) = cell::verdict(trial, cell, &evidence, &case_results);
    if let Some(sabotage) = trial.sabotage {
        (verdict, reasons) = sabotage::verdict(sabotage, &case_results, verdict, reasons);
    }
    CellResult {
        id: cell.id.clone(),
        verdict,
        reasons,
        cases: case_results.iter().map(|case| case.outcome).collect(),
        case_results,
        boot_ms: evidence
            .machine
            .as_ref()
            .and_then(|machine| machine.boot_ms),
        restored: (evidence.machine.as_ref()).is_some_and(|machine| machine.restored),
        target: cell.target,
        accelerator: (evidence.machine.as_ref())
            .map_or(Accelerator::None, |machine| machine.accelerator),
        kernel_release: evidence.machine.map(|machine| machine.kernel_release),
    }
}

/// A cell that the matrix itself rules out.
fn untouched(cell: &Cell, reason: &str) -> CellResult {
    CellResult {
        id: cell.id.clone(),
        verdict: Verdict::NotTested,
        reasons: vec![reason.to_owned()],
        cases: crate::outcome::Counts::default(),
        case_results: Vec::new(),
        boot_ms: None,
        restored: false,
        target: cell.target,
        accelerator: Accelerator::None,
        kernel_release: None,
    }
}

/// Every case of a cell where cases began to run: one without an outcome is `broken`, and one
/// that nobody asked for proves nothing. In the order of their ids.
fn observed_and_missing(trial: &Trial<'_>, cell: &Cell, evidence: &Evidence) -> Vec<CaseResult> {
    let mut cases = evidence.cases();
    let is_of_the_cell = |id: &String| cell.suites.iter().any(|suite| suite == suite_of(id));
    cases.retain(|id, _| trial.cases.contains(id) && is_of_the_cell(id));
    if !cases.is_empty() || !evidence.breakages.is_empty() {
        for id in trial.cases.iter().filter(|id| is_of_the_cell(id)) {
            cases.entry(id.clone()).or_insert_with(|| CaseResult {
                id: id.clone(),
                requirement: Vec::new(),
                outcome: Outcome::Broken,
                ms: 0,
                detail: "no outcome: the machine or the run ended before".to_owned(),
            });
        }
    }
    cases.into_values().collect()
}

fn run_verdict(trial: &Trial<'_>, cells: &[(&Cell, CellResult)]) -> (Verdict, Vec<String>) {
    let required: Vec<&CellResult> = cells
        .iter()
        .filter(|(cell, _)| trial.policy.requires(cell))
        .map(|(_, result)| result)
        .collect();
    let with = |verdict: Verdict| required.iter().filter(move |cell| cell.verdict == verdict);
    let mut reasons: Vec<String> = trial.sabotage.map(sabotage::warning).into_iter().collect();
    reasons.extend(trial.selftest.and_then(misjudged));
    for (verdict, what) in [
        (Verdict::NotCertified, "is not certified"),
        (Verdict::NotTested, "is not tested"),
        (Verdict::Unsupported, "is unsupported"),
    ] {
        reasons.extend(with(verdict).map(|cell| match cell.reasons.split_first() {
            None => format!("`{}` {what}", cell.id),
            Some((first, [])) => format!("`{}` {what}: {first}", cell.id),
            Some((first, more)) => {
                format!("`{}` {what}: {first} (and {} more)", cell.id, more.len())
            }
        }));
    }
    let refused = |lenience| lenience == Lenience::Refuse;
    let left_out: Vec<&Cell> = (trial.plan.excluded.iter())
        .filter(|excluded| excluded.by == ExcludedBy::Selection)
        .map(|excluded| &excluded.cell)
        .collect();
    if !left_out.is_empty() {
        reasons.push(format!(
            "{} of the matrix left out by selection",
            cells_in_words(left_out.len())
        ));
    }
    let mut wanting = left_out;
    wanting.retain(|cell| refused(trial.policy.cells.left_out) && trial.policy.requires(cell));
    if let [first, ..] = wanting.as_slice() {
        reasons.push(format!(
            "policy `{}` demands {} of those that were left out, `{}` for one",
            trial.policy.name,
            wanting.len(),
            first.id
        ));
    }
    let has = |verdict| with(verdict).next().is_some();
    let certified = has(Verdict::Certified) || has(Verdict::CertifiedWithWaivers);
    let verdict = if required.is_empty() {
        reasons.push(format!("no cell counts for policy `{}`", trial.policy.name));
        Verdict::NotTested
    } else if has(Verdict::NotCertified) {
        Verdict::NotCertified
    } else if has(Verdict::NotTested) || !wanting.is_empty() {
        Verdict::NotTested
    } else if has(Verdict::Unsupported) && (!certified || refused(trial.policy.cells.unsupported)) {
        Verdict::Unsupported
    } else if has(Verdict::CertifiedWithWaivers) {
        Verdict::CertifiedWithWaivers
    } else {
        Verdict::Certified
    };
    (verdict, reasons)
}

/// So many cells, in words.
fn cells_in_words(count: usize) -> String {
    match count {
        1 => "1 cell".to_owned(),
        count => format!("{count} cells"),
    }
}

/// What a self-test found wrong with the suites that the run rests on.
fn misjudged(selftest: &Selftest) -> Option<String> {
    let mut wrong = Vec::new();
    if !selftest.missed.is_empty() {
        wrong.push(format!("missed {}", selftest.missed.join(", ")));
    }
    if selftest.good_failed > 0 {
        wrong.push("failed an honest engine".to_owned());
    }
    (!wrong.is_empty()).then(|| format!("the self-test of the suites {}", wrong.join(" and ")))
}

fn totals(cells: &[CellResult]) -> Totals {
    let mut totals = Totals {
        cells: Verdict::ALL.map(|verdict| (verdict, 0)).into(),
        cases: cells.iter().map(|cell| cell.cases).sum(),
        certified_kernels: 0,
    };
    let mut kernels = std::collections::BTreeSet::new();
    for cell in cells {
        *totals.cells.entry(cell.verdict).or_default() += 1;
        if cell.verdict.is_certified() {
            // Distribution and kernel are the first two parts of the five.
            kernels.insert(cell.id.as_str().rsplitn(4, '/').last().unwrap_or_default());
        }
    }
    totals.certified_kernels = kernels.len();
    totals
}
