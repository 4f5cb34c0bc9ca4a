//! Images that are made here, byte by byte: good ones, and hostile ones.

mod archive;
mod base;
mod layer;
mod payload;

pub(super) use archive::{Archive, Image};
pub(super) use base::{BASE, CONFIGURED, LAYERED, base_archive};
pub(super) use layer::{Entry, Layer};
pub(super) use payload::payload;
