//! Engines that are known to be bad: proof that the suites can fail.

mod fault;
mod faults;

pub use fault::{Bend, Fault};
pub use faults::FAULTS;
