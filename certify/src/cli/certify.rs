//! `seaworthy certify`.

use matrix::verdict::Verdict;

use super::{Answer, Failure};

/// The answer that a verdict is.
pub(super) fn answer(verdict: Verdict) -> Result<Answer, Failure> {
    match verdict {
        Verdict::Certified | Verdict::CertifiedWithWaivers => Ok(Answer::Yes),
        Verdict::NotCertified | Verdict::Unsupported => Ok(Answer::No),
        Verdict::NotTested => Err(Failure::Harness(anyhow::anyhow!(
            "there is no verdict: cells that the policy demands were not tested (see the reasons above; `--resume` goes on with an interrupted run)"
        ))),
    }
}
