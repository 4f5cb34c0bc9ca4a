//! Engines under test, reached only through their public command line.
//!
//! Every engine here speaks Docker's command line, so what is the same for all of them
//! ([`Cli`]: verbs, deadlines, captured output) stands once, and what differs (where the
//! program is, how it is told to keep its state apart) is one implementation of [`Engine`]
//! a file. The harness never links an engine.

mod cli;
mod docker;
mod engine;
mod inspect;
mod invocation;
mod keel;
mod podman;
mod program;

pub use cli::{Cli, IdentityError};
pub use engine::{AdapterError, Engine, EngineKind, Setup, State, allow, open};
pub use inspect::{ContainerState, Inspection};
pub use invocation::{Finished, Invocation, InvocationError, Running};
