//! Sabotage: a known fault that was bent into the engine, to see that a run refuses it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was done to the engine of a run, and what must notice it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sabotage {
    /// The fault's name (`drop-pids-limit`), which stands in the engine's name too.
    pub fault: String,
    /// The case that must fail.
    pub caught_by: String,
}
