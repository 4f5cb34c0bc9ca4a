//! Keel, a compact container engine.
//!
//! The layers, from the bottom:
//!
//! - [`sys`]: the only unsafe code, system calls that nix lacks;
//! - [`runtime`]: a bundle becomes a process: namespaces, mounts, cgroups, filters;
//! - [`storage`]: layers and the writable trees of containers, by one of several drivers;
//! - [`image`]: images, their names, and the store that keeps them;
//! - [`files`]: trees of files as tar streams, where others may be at work on them;
//! - [`volume`]: folders that outlive containers, called by names;
//! - [`events`]: the journal of what happened;
//! - [`container`]: a container's whole life, its state on disk, its logs;
//! - [`dockerfile`]: the language in which configurations of images are changed;
//! - [`mod@build`]: an image is made of a Dockerfile;
//! - [`oci`]: the same runtime as outside tools drive it, bundle by bundle;
//! - [`rootless`]: a user namespace for those who are not root;
//! - [`cli`]: the command line, the only code that prints;
//! - [`fuzz`]: whatever reads foreign bytes, as fuzzers call it.

pub mod build;
pub mod cli;
pub mod container;
pub mod dockerfile;
pub mod events;
pub mod files;
pub mod fuzz;
pub mod image;
pub mod oci;
pub mod rootless;
pub mod runtime;
pub mod storage;
pub mod sys;
pub mod volume;
