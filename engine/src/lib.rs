//! Keel, a compact container engine.
//!
//! The layers, from the bottom:
//!
//! - [`container`]: a container's whole life, its state on disk, its logs;
//! - [`cli`]: the command line, the only code that prints.

pub mod cli;
pub mod container;

pub mod runtime;
