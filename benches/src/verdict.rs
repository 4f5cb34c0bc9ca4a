//! Whether a measured ratio keeps a promise.

use std::fmt;

use crate::interval::Interval;

/// What a comparison says about a promise of the form "at most so many times".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The whole interval keeps it.
    Met,
    /// The whole interval breaks it.
    NotMet,
    /// The promise lies within the interval, or there is none: more pairs would tell.
    Unclear,
}

impl Verdict {
    /// Of the ratio's interval, for a promise of at most `most`.
    pub fn of(ratio: Option<Interval>, most: f64) -> Self {
        match ratio {
            Some(ratio) if ratio.high <= most => Self::Met,
            Some(ratio) if ratio.low > most => Self::NotMet,
            Some(_) | None => Self::Unclear,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::NotMet => "NOT MET",
            Self::Unclear => "unclear, so not shown to be met: run more pairs",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_interval_decides() {
        let of = |low, high| {
            let median = f64::midpoint(low, high);
            Verdict::of(Some(Interval { median, low, high }), 1.0)
        };
        assert_eq!(of(0.8, 1.0), Verdict::Met);
        assert_eq!(of(1.01, 1.2), Verdict::NotMet);
        assert_eq!(of(0.9, 1.1), Verdict::Unclear);
        assert_eq!(Verdict::of(None, 1.0), Verdict::Unclear);
    }
}
