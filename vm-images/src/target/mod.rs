//! Machines that can run a cell, behind one trait.

mod host;
mod micro;
mod snapshot;
mod spec;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use matrix::axis::TargetKind;

use crate::agent::AgentError;
use crate::agent::client::{Command, Running};
use crate::agent::message::Facts;
use crate::qemu::Acceleration;

pub use host::{Host, HostError};
pub use micro::{BootError, Micro};
pub use snapshot::MicroSnapshot;
pub use spec::{Deadlines, Disk, GuestFile, MicroSpec, Outfit};

/// What a target promises to give.
pub type Promise<'a, T> = Pin<Box<dyn Future<Output = Result<T, AgentError>> + Send + 'a>>;

/// A machine that runs the agent.
///
/// Laws, which hold for every implementer: what was `put` is what `get` gives; a program's
/// output arrives in order, whole and before its exit status; dropping a [`Running`] kills the
/// program; dropping the target ends all that runs on it; a failure of the machine is an
/// [`AgentError::Lost`], never an exit status.
pub trait Target: Send + Sync {
    /// Which kind of target this is.
    fn kind(&self) -> TargetKind;

    /// What executes its instructions, and why no better.
    fn acceleration(&self) -> &Acceleration;

    /// What the machine said of itself when it became ready.
    fn facts(&self) -> &Facts;

    /// Starts a program.
    fn exec(&self, command: Command) -> Promise<'_, Running>;

    /// Copies the local file `from` to `to`, with these permission bits.
    fn put<'a>(&'a self, from: &'a Path, to: &'a str, mode: u32) -> Promise<'a, ()>;

    /// Copies the machine's file `from` to the local path `to`.
    fn get<'a>(&'a self, from: &'a str, to: &'a Path) -> Promise<'a, ()>;

    /// Ends the machine in an orderly way: data is written to its disks first.
    fn power_off(self: Box<Self>) -> Promise<'static, ()>;
}
