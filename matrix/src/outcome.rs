//! Outcomes: what a case came to.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one case of a suite came to in one cell.
///
/// `Broken` says that the harness or the machine failed, so nothing is known about the engine;
/// `Skip` that the case could not apply. Neither is ever counted as a pass or as a failure.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The behaviour was proved.
    Pass,
    /// A requirement that the case needs is absent; the detail names it.
    Skip,
    /// It failed and passed on the same machine: reported as itself, never as a pass.
    Flaky,
    /// The engine did not do what the requirement says.
    Fail,
    /// The harness or the machine failed.
    Broken,
}

impl Outcome {
    /// Every outcome, in the order in which it is shown.
    pub const ALL: [Self; 5] = [
        Self::Pass,
        Self::Skip,
        Self::Flaky,
        Self::Fail,
        Self::Broken,
    ];

    /// The name in every format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Skip => "skip",
            Self::Flaky => "flaky",
            Self::Fail => "fail",
            Self::Broken => "broken",
        }
    }

    /// Joins two observations of the same case: associative, commutative, idempotent.
    ///
    /// A machine that failed says nothing, so `Broken` and `Skip` give way to an observation of
    /// the engine; passing once and failing once is `Flaky`, and stays so.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        use Outcome::{Broken, Fail, Flaky, Pass, Skip};
        match (self, other) {
            (Flaky, _) | (_, Flaky) | (Pass, Fail) | (Fail, Pass) => Flaky,
            (Fail, Fail | Skip | Broken) | (Skip | Broken, Fail) => Fail,
            (Pass, Pass | Skip | Broken) | (Skip | Broken, Pass) => Pass,
            (Skip, Skip | Broken) | (Broken, Skip) => Skip,
            (Broken, Broken) => Broken,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One finished case, as the event stream and the journal carry it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct CaseResult {
    /// `suite.area.name`, unique among all suites.
    pub id: String,
    /// The requirements that the case proves.
    pub requirement: Vec<String>,
    /// What it came to.
    pub outcome: Outcome,
    /// How long it took, in milliseconds of the machine that ran it.
    pub ms: u64,
    /// What was expected and what was seen; for a skip the requirement that is absent. Empty
    /// for a pass.
    #[serde(default)]
    pub detail: String,
}

/// How many cases came to which outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Proved.
    pub pass: usize,
    /// Not done by the engine.
    pub fail: usize,
    /// Not applicable.
    pub skip: usize,
    /// Not known: harness or machine failed.
    pub broken: usize,
    /// Both proved and not.
    pub flaky: usize,
}

impl Counts {
    /// How many cases have `outcome`.
    pub const fn of(&self, outcome: Outcome) -> usize {
        match outcome {
            Outcome::Pass => self.pass,
            Outcome::Skip => self.skip,
            Outcome::Flaky => self.flaky,
            Outcome::Fail => self.fail,
            Outcome::Broken => self.broken,
        }
    }

    /// How many cases there are.
    pub const fn total(&self) -> usize {
        self.pass + self.fail + self.skip + self.broken + self.flaky
    }
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            pass: self.pass + other.pass,
            fail: self.fail + other.fail,
            skip: self.skip + other.skip,
            broken: self.broken + other.broken,
            flaky: self.flaky + other.flaky,
        }
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, each| sum + each)
    }
}

impl FromIterator<Outcome> for Counts {
    fn from_iter<I: IntoIterator<Item = Outcome>>(outcomes: I) -> Self {
        let mut counts = Self::default();
        for outcome in outcomes {
            *match outcome {
                Outcome::Pass => &mut counts.pass,
                Outcome::Skip => &mut counts.skip,
                Outcome::Flaky => &mut counts.flaky,
                Outcome::Fail => &mut counts.fail,
                Outcome::Broken => &mut counts.broken,
            } += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    proptest! {
        #[test]
        fn join_is_a_semilattice(
            a in select(&Outcome::ALL[..]), b in select(&Outcome::ALL[..]), c in select(&Outcome::ALL[..]),
        ) {
            prop_assert_eq!(a.join(a), a);
            prop_assert_eq!(a.join(b), b.join(a));
            prop_assert_eq!(a.join(b).join(c), a.join(b.join(c)));
        }

        #[test]
        fn a_failure_is_never_joined_away(other in select(&Outcome::ALL[..])) {
            prop_assert!(matches!(Outcome::Fail.join(other), Outcome::Fail | Outcome::Flaky));
        }
    }
}
