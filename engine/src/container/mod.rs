//! A container's life: what was asked, what it came to be, what became of it.
//!
//! In the order of the flow: [`options`] (what each flag of `run` means) → [`config`] (what was
//! asked, kept on disk) → [`spec`] (the OCI spec of it, a pure function) → `start` → `supervise`
//! (pass signals on, keep the log) → `record` (what became of it). [`Containers`] is the folder of
//! them all, [`monitor`] the process that stays with a detached one.

mod clock;
pub mod config;
mod error;
mod exec;
mod facts;
mod files;
pub mod id;
mod inspect;
pub mod logs;
pub mod monitor;
pub mod name;
pub mod options;
mod output;
mod profile;
mod record;
mod run;
pub mod spec;
mod spec_mounts;
mod start;
pub mod state;
mod stdio;
mod stop;
mod store;
mod supervise;
pub mod user;

pub use error::Error;
pub use exec::ExecRequest;
pub use record::Container;
pub use run::{Request, run, run_detached};
pub use stop::Force;
pub use store::Containers;
