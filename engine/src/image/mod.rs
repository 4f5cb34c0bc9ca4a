//! Images: what they are, how they are named, and the store that keeps them.

pub mod config;
pub mod digest;
pub mod limits;
mod names;
pub mod reference;
pub mod store;
