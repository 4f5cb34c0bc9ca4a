//! Requirements: what a kernel or system must have, each with its id, level, the kernels in
//! which its option exists, its older and newer names, its source and its remedy.
//!
//! They are data (`matrix/data/requirements/*.toml`); [`Catalogue`] reads them, and
//! [`crate::support`] judges by them.

mod catalogue;
mod id;
mod item;

pub use catalogue::{Catalogue, CatalogueError};
pub use id::{InvalidRequirementId, Level, RequirementId};
pub use item::{AlwaysOn, Requirement, Way};
