//! The support check: is this system one that a container engine can run on, what is missing,
//! and what to change.
//!
//! [`judge()`] is a function of [`Evidence`] (a configuration, what probes found on a running
//! system, the modules at hand, the kernel's version; each may be missing) and a
//! [`crate::requirement::Catalogue`] to a [`Support`], the document that
//! `seaworthy check` prints.

mod evidence;
mod judge;
mod remedy;
mod report;
mod ruling;

pub use evidence::{Evidence, Modules, Probe};
pub use judge::judge;
pub use report::{
    CHECK_SCHEMA, Driver, Finding, KernelIdentity, Remedy, State, Support, SupportVerdict,
};

#[cfg(test)]
mod tests;
