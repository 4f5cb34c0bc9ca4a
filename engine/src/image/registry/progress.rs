//! What is told while images come and go.

use crate::image::digest::Digest;
use crate::image::reference::Reference;

/// Somebody who watches.
pub trait Progress: Sync {
    /// Something went on with a layer; may be called by several threads.
    fn step(&self, layer: &Digest, step: Step<'_>);
    /// Something that the user should know.
    fn warn(&self, text: &str);
}

/// What goes on with a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// It is known, and something will be done about it.
    Waiting {
        /// Its bytes.
        bytes: u64,
    },
    /// It is where it should be.
    Present,
    /// So many bytes came or went since the last time.
    Moved(u64),
    /// It was downloaded.
    Downloaded,
    /// It was unpacked.
    Unpacked,
    /// It was compressed, which says how large it is.
    Compressed {
        /// Its bytes.
        bytes: u64,
    },
    /// It was uploaded.
    Uploaded,
    /// The registry had it in another repository.
    Mounted(&'a Reference),
}

/// Nobody watches.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _layer: &Digest, _step: Step<'_>) {}
    fn warn(&self, _text: &str) {}
}
