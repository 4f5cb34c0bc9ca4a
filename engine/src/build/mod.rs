//! Building images from Dockerfiles.
//!
//! In the order of the flow: a [`Context`] of files, and the stages of a Dockerfile
//! ([`crate::dockerfile`]) → `builder` (stage after stage) → `state` (what a stage has come to) →
//! `steps` (what makes layers, unless it was done before) → `transfer` (files become a layer) and `run` (what a command changes becomes
//! one). No step is an image: only what is asked for is recorded, at the very end, and steps are
//! remembered by what they depend on ([`crate::image::CachedStep`]).

mod arguments;
mod builder;
mod context;
mod error;
mod place;
mod run;
mod sources;
mod state;
mod steps;
mod transfer;

pub use builder::{Built, Cache, Event, Output, Request, build};
pub use context::{Context, ContextError, Text};
pub use error::{BuildError, StepError};
pub use transfer::TransferError;
