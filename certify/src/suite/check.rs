//! Comparing what was expected with what was seen.

use std::fmt::Debug;

use super::case::{Proof, Unproven};

/// Fails unless both are the same.
#[expect(
    clippy::needless_pass_by_value,
    reason = "cases read better without a & at each value"
)]
pub(super) fn same<T: PartialEq + Debug>(what: &str, seen: T, expected: T) -> Proof {
    holds(seen == expected, || {
        format!("{what}: expected {expected:?}, saw {seen:?}")
    })
}

/// Fails unless it holds.
#[expect(
    clippy::fn_params_excessive_bools,
    reason = "an assertion is about a truth value"
)]
pub(super) fn holds(it: bool, what: impl FnOnce() -> String) -> Proof {
    if it {
        Ok(())
    } else {
        Err(Unproven::Fail(what()))
    }
}

/// A failure.
pub(super) fn fail<T>(what: impl Into<String>) -> Proof<T> {
    Err(Unproven::Fail(what.into()))
}
