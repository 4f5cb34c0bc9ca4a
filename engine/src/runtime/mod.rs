//! The run path: an OCI [`Spec`](oci_spec::runtime::Spec) and a mounted root file system become
//! a process. Synchronous, no logging, no threads (but one that only waits:
//! [`cgroup::begin_grace_period`]); what can be prepared is prepared before the clone, so that the
//! child only makes system calls.
//!
//! In the order of the flow: [`Launch`] (what to start) → [`launch()`] (one clone, one child,
//! no re-exec) → [`Process`] (wait, kill). [`exec()`] adds a process to a running container.
//! [`cgroup`], [`seccomp`] and [`requirement`] stand alone too.

pub mod capabilities;
pub mod cgroup;
mod child;
mod error;
mod exec;
mod explain;
pub(crate) mod fuzz;
mod hooks;
mod launch;
mod listener;
mod mountinfo;
mod parent;
mod plan;
mod prepare;
mod process;
pub mod requirement;
pub mod seccomp;
mod user_namespace;

pub use error::{Error, Step};
pub use exec::{Exec, ExecOptions, Target, exec, exec_with};
pub use hooks::{HookEnd, HookPoint, run_hooks};
pub use launch::{Console, Init, Launch, Stdio, launch};
pub use plan::MOUNT_OPTIONS;
pub use prepare::{
    Keyring, MountMaps, Options, Prepared, RootChange, Start, StateOf, await_start, prepare,
};
pub use process::{ExitStatus, Process, StartTime};
