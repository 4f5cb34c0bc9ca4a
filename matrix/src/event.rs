//! Events: what happened in a run, as its journal keeps it.
//!
//! Every entry says on its own which cell and which machine it is about, so a journal that was
//! cut short, or several that were put together in any order, still mean the same.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::axis::{Accelerator, TargetKind};
use crate::cell::CellId;
use crate::outcome::CaseResult;

/// One line of `journal.ndjson`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// Counts the lines of a journal from 0; a resumed run goes on counting.
    pub seq: u64,
    /// When, in milliseconds since 1970 by the clock of the machine that writes.
    pub at_ms: u64,
    /// The cell.
    pub cell: CellId,
    /// Which machine of this cell, from 1: a fresh machine gets the next number.
    pub attempt: u32,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened in a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A machine is being made for the cell.
    Started {
        /// Its kind.
        target: TargetKind,
    },
    /// The machine answered.
    Booted {
        /// From starting it to its first answer, in milliseconds; absent where nothing is
        /// started (this machine).
        boot_ms: Option<u64>,
        /// What executes it.
        accelerator: Accelerator,
        /// The kernel as it names itself.
        kernel_release: String,
        /// Whether it went on from a snapshot of a machine that its kernel had booted: `boot_ms`
        /// is from then on.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        restored: bool,
    },
    /// The system was checked.
    Checked {
        /// What the system would need, and does not have. Empty: the cases may run.
        missing: Vec<Missing>,
    },
    /// A case is done.
    Case {
        /// What it came to.
        #[serde(flatten)]
        result: CaseResult,
        /// 0 for its first run on this machine, 1 for the repetition of a failure.
        #[serde(default)]
        repeat: u32,
    },
    /// A suite is done, and the engine had left behind what no case meant to leave.
    LeftBehind {
        /// Names of containers, whose removal was then tried.
        names: Vec<String>,
    },
    /// The machine or the harness failed.
    Broken {
        /// What failed, in a word (`kernel-panic`, `boot-timeout`).
        kind: String,
        /// What was seen.
        detail: String,
    },
    /// Nothing is left to do in this cell.
    Finished,
    /// The user ended the run before the cell was done.
    Interrupted,
}

/// A requirement that the system does not meet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Missing {
    /// Its id (`kernel.storage.overlay`).
    pub requirement: String,
    /// The smallest change that would meet it.
    pub remedy: String,
}
