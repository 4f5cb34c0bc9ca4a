//! A container's life: what was asked, what it came to be, what became of it.
//!
//! In the order of the flow: [`options`] (what each flag of `run` means) → [`config`] (what was
//! asked, kept on disk) → [`spec`] (the OCI spec of it, a pure function) → `start` → `supervise`
//! (pass signals on, keep the log) → `record` (what became of it). [`Containers`] is the folder of
//! them all, [`monitor`] the process that stays with a detached one, `attach` how others take part.

mod attach;
mod begin;
mod check;
mod clock;
mod commit;
pub mod config;
mod copy;
mod create;
mod error;
mod exec;
mod export;
mod facts;
mod files;
pub(crate) mod foreground;
pub(crate) mod fuzz;
mod group;
pub mod health;
pub mod id;
mod inspect;
pub mod logs;
pub mod monitor;
pub mod name;
pub mod options;
mod orders;
mod output;
mod phase;
mod profile;
mod prune;
mod record;
mod run;
mod scratch;
mod select;
pub mod spec;
mod spec_mounts;
mod start;
pub mod state;
mod stay_down;
mod stdio;
mod step;
mod stop;
mod store;
mod supervise;
mod tell;
mod top;
mod update;
mod usage;
pub mod user;
mod view;
mod volumes;

pub use attach::{DetachKeys, Interaction, Left, SigProxy, TakeInput};
pub use check::Finding;
pub use commit::{Commit, CommitError, Pause};
pub use copy::{Copied, CopyError, Links, Ownership};
pub use create::{Request, create};
pub use error::Error;
pub use exec::ExecRequest;
pub use health::{Health, Verdict};
pub use phase::Phase;
pub use prune::{PruneFilter, Pruned, moment};
pub use record::Container;
pub use run::{run, run_detached};
pub use scratch::Scratch;
pub use select::{Filter, Selection};
pub use step::{Step, run_step};
pub use stop::Force;
pub use store::Containers;
pub(crate) use top::in_pid_namespace_of;
pub use top::{ProcessRow, process_rows};
pub use update::Update;
pub use usage::Usage;
