//! Keel as an OCI runtime: bundles in, processes out, with a record of each container that any
//! later call understands.
//!
//! In the order of a life: [`Bundle`] (what to make) → [`Runtime::create`] (the environment, a
//! process that waits) → [`Container::start`] → [`Container::signal`], [`Container::exec`] … →
//! [`Runtime::delete`]. What a container is doing stands in the kernel and not in a file
//! ([`Status`]), so that no crash can make it wrong.

mod bundle;
mod console;
mod create;
mod delete;
mod error;
mod exec;
pub(crate) mod fuzz;
mod id;
mod limits;
mod pid_file;
mod record;
mod rootless;
mod signal;
mod start;
mod status;
mod store;

pub use bundle::{Bundle, VERSION};
pub use create::{Creation, Foreground};
pub use delete::Force;
pub use error::Error;
pub use exec::{ExecRequest, Paused, read_process};
pub use id::ContainerId;
pub use record::{Record, State};
pub use signal::Whom;
pub use status::Status;
pub use store::{Container, Runtime};
