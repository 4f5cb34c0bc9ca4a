//! A container's life: what was asked, what it came to be, what became of it.
//!
//! In the order of the flow: [`options`] (what each flag of `run` means) → [`Config`] (what was
//! asked, kept on disk) → [`spec`] (the OCI spec of it, a pure function) → `start` → `supervise`
//! (pass signals, keep the log, record the end). [`Containers`] is the folder of them all.

pub mod id;
pub mod name;
pub mod options;
