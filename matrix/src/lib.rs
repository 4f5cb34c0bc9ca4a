//! What can be certified: pure data and logic. No I/O, no async, no processes, no clock.
//!
//! In the order in which they are used:
//! [`version`], [`arch`] and [`axis`] are the axes of the matrix; [`cell`] is one point of it;
//! [`outcome`] is what a case came to, [`verdict`] what a cell came to, and [`results`] the
//! judged whole of a run.

pub mod arch;
pub mod axis;
pub mod cell;
pub mod outcome;
pub mod results;
pub mod verdict;
pub mod version;
