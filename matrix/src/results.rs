//! The judged whole of a run: what `results.json` holds and every report shows.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::axis::{Accelerator, TargetKind};
use crate::cell::CellId;
use crate::outcome::{CaseResult, Counts};
use crate::verdict::Verdict;

/// The value of `schema` in `results.json`.
pub const RESULTS_SCHEMA: &str = "seaworthy.results/1";

/// The value of `schema` in a self-test's report.
pub const SELFTEST_SCHEMA: &str = "seaworthy.selftest/1";

/// What a run came to, as a pure function of its plan, journal and policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Results {
    /// [`RESULTS_SCHEMA`].
    pub schema: String,
    /// What was judged.
    pub engine: EngineIdentity,
    /// What the whole run came to.
    pub verdict: Verdict,
    /// Why, in words for a person; empty when there is nothing to explain.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// The policy that was applied (`preview`).
    pub policy: String,
    /// Every planned cell, in the plan's order.
    pub cells: Vec<CellResult>,
    /// Sums over the cells.
    pub totals: Totals,
    /// How many known-bad engines the same suites catch; absent where it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selftest: Option<Selftest>,
}

/// Which engine was judged, to the byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EngineIdentity {
    /// The adapter's name (`keel`, `docker`, `podman`), and the known fault that was built in,
    /// if so (`keel+drop-pids-limit`).
    pub name: String,
    /// What the engine says of its own version.
    pub version: String,
    /// SHA-256 of its binary, 64 hexadecimal digits.
    pub sha256: String,
}

impl EngineIdentity {
    /// What the adapter's name and that of a known fault in the engine are joined by.
    const FAULT: char = '+';

    /// The engine with a known fault built in. The fault stands in its name
    /// (`keel+drop-pids-limit`), so that nothing said of it passes for the honest engine's.
    #[must_use]
    pub fn with_fault(mut self, fault: &str) -> Self {
        self.name = format!("{}{}{fault}", self.name, Self::FAULT);
        self
    }

    /// The adapter's name, whatever fault is built in.
    pub fn adapter(&self) -> &str {
        self.name.split(Self::FAULT).next().unwrap_or(&self.name)
    }
}

/// What one cell came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CellResult {
    /// The cell.
    pub id: CellId,
    /// What it came to.
    pub verdict: Verdict,
    /// Why, when it is not plainly certified: remedies, failed cases, the machine's trouble.
    pub reasons: Vec<String>,
    /// Cases by outcome.
    pub cases: Counts,
    /// Each case of the cell, by suite and name.
    #[serde(default)]
    pub case_results: Vec<CaseResult>,
    /// From starting the machine to an answering agent, in milliseconds; absent when it never
    /// answered or was not started.
    pub boot_ms: Option<u64>,
    /// Whether the machine went on from a snapshot, which its kernel's cells share: `boot_ms` is
    /// from then on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restored: bool,
    /// The kind of machine.
    pub target: TargetKind,
    /// What executed the guest.
    pub accelerator: Accelerator,
    /// The kernel as it names itself (`6.1.0-32-cloud-amd64`); absent when it never answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_release: Option<String>,
}

/// Sums over the cells of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Cells by verdict, every verdict present.
    pub cells: BTreeMap<Verdict, usize>,
    /// Cases of all cells by outcome.
    pub cases: Counts,
    /// Different kernels with at least one certified cell.
    pub certified_kernels: usize,
}

/// The judge's own test: engines known to be bad, and how many the suites caught.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Selftest {
    /// [`SELFTEST_SCHEMA`].
    pub schema: String,
    /// The engine that the faults were built into.
    pub engine: EngineIdentity,
    /// SHA-256 of the `seaworthy` whose suites were tested: it says nothing of another's.
    pub harness_sha256: String,
    /// Engines with a known fault.
    pub known_bad: usize,
    /// How many of them failed the case that must catch them.
    pub caught: usize,
    /// Those that were not caught.
    pub missed: Vec<String>,
    /// Those that could not be shown on that machine.
    pub not_shown: Vec<String>,
    /// Engines without a fault.
    pub good: usize,
    /// How many of them failed nonetheless.
    pub good_failed: usize,
}
