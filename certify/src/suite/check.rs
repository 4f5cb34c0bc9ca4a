//! Comparing what was expected with what was seen.

use std::fmt::Debug;

use super::case::{Proof, Unproven};

/// Fails unless both are the same.
pub(super) fn same<T: PartialEq + Debug>(what: &str, seen: T, expected: T) -> Proof {
    holds(seen == expected, || {
        format!("{what}: expected {expected:?}, saw {seen:?}")
    })
}

/// Fails unless it holds.
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
