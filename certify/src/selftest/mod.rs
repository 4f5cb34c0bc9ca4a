//! Engines that are known to be bad: proof that the suites can fail.

mod fault;
mod faults;
mod run;

pub use fault::{Bend, Fault, Value};
pub use faults::FAULTS;
pub use run::{Finding, Unanswered, answer, report, run};
