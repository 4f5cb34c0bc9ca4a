//! Keel, a compact container engine.
//!
//! The layers, from the bottom:
//!
//! - [`sys`]: the only unsafe code, system calls that nix lacks;
//! - [`runtime`]: a bundle becomes a process: namespaces, mounts, cgroups, filters;
//! - [`storage`]: layers and the writable trees of containers, by one of several drivers;
//! - [`image`]: images, their names, and the store that keeps them;
//! - [`events`]: the journal of what happened;
//! - [`container`]: a container's whole life, its state on disk, its logs;
//! - [`cli`]: the command line, the only code that prints.

pub mod cli;
pub mod container;
pub mod events;
pub mod image;
pub mod runtime;
pub mod storage;
pub mod sys;
