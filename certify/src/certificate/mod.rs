//! Certificates: a signed statement over the digest of every file of a run.
//!
//! A certificate is a DSSE [`envelope`] around an in-toto [`statement`], signed by a [`key`].
//! Its subjects are the engine's binary and `results.json`; the predicate names every file of
//! the run folder with its digest ([`evidence`]), reports included. [`verify`] recomputes all
//! of it from the folder beside the certificate, and judges the journal again: it needs no
//! network, and no trust in whoever ran the run.

pub mod envelope;
pub mod evidence;
pub mod key;
pub mod statement;
pub mod verify;
mod write;

#[cfg(test)]
mod tests;

pub use write::{WriteError, write};
