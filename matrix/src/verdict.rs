//! Verdicts: what a cell, and a whole run, came to.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a cell came to.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything that the policy demands was run and passed.
    Certified,
    /// As above, but for failures that the policy waives.
    CertifiedWithWaivers,
    /// The engine failed a case that the policy demands.
    NotCertified,
    /// The system lacks something that every engine must have; the reasons are remedies.
    Unsupported,
    /// Never ran, or only broken outcomes: nothing is known.
    NotTested,
}

impl Verdict {
    /// Every verdict, best first.
    pub const ALL: [Self; 5] = [
        Self::Certified,
        Self::CertifiedWithWaivers,
        Self::NotCertified,
        Self::Unsupported,
        Self::NotTested,
    ];

    /// The name in every format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certified => "certified",
            Self::CertifiedWithWaivers => "certified-with-waivers",
            Self::NotCertified => "not-certified",
            Self::Unsupported => "unsupported",
            Self::NotTested => "not-tested",
        }
    }

    /// Whether the engine may be called certified here.
    pub const fn is_certified(self) -> bool {
        matches!(self, Self::Certified | Self::CertifiedWithWaivers)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
