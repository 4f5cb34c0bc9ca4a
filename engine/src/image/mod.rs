//! Images: what they are, how they are named, and the store that keeps them.

pub mod archive;
pub mod config;
mod decompress;
pub mod digest;
mod hashing;
pub mod layer;
pub mod limits;
pub mod load;
pub mod manifest;
mod names;
pub mod origin;
pub mod reference;
pub mod registry;
pub mod save;
pub mod store;
