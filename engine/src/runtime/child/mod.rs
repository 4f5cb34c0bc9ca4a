//! The child's side of a launch: from the clone to the execve.
//!
//! Nothing here allocates, locks or returns: another thread of the engine may have held the
//! allocator's lock at the clone, and only the cloning thread exists on this side. All text,
//! tables and filters were prepared in the [`Plan`](super::plan::Plan); buffers are on the stack.

mod begin;
mod console;
mod fault;
mod finish;
mod init;
mod inside;
mod join;
mod mounts;
mod paths;
mod rootfs;
mod setup;

pub(super) use fault::{At, Fault, Message};
pub(super) use join::join;
pub(super) use setup::{Channel, run};
