//! Images: what they are, how they are named, and the store that keeps them.

pub mod archive;
mod build_cache;
mod commit;
pub mod config;
pub(crate) mod decompress;
pub mod digest;
pub(crate) mod fuzz;
mod hashing;
pub mod history;
mod inspect;
pub mod layer;
pub mod limits;
pub mod load;
pub mod manifest;
mod names;
pub mod origin;
mod prune;
pub mod reference;
pub mod registry;
pub mod save;
pub mod store;

pub use build_cache::CachedStep;
pub(crate) use commit::{add_layer, complete_history, empty, record};
pub use commit::{commit, created, fixed_time};
pub use prune::{PrunedImages, Unused};
