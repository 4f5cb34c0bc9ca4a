//! Benchmarks that compare whole processes with a peer, in one interleaved run.
//!
//! [`pair`] runs two commands in turns and times each; [`interval`] says how sure the ratio of
//! their times is; [`peak`] gives the memory of a process at its most.

pub mod interval;
pub mod pair;
pub mod peak;
