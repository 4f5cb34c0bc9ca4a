//! Benchmarks that compare whole processes with a peer, in one interleaved run.
//!
//! [`view`] shows both the same control groups; [`peers`] sets the programs up; [`pair`] runs two
//! commands in turns and times each; [`interval`] says how sure the ratio of their times is and
//! [`verdict`] whether that keeps a promise; [`peak`] gives the memory of a process at its most.

pub mod interval;
pub mod pair;
pub mod peak;
pub mod peers;
pub mod verdict;
pub mod view;
