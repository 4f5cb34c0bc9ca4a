//! System calls that nix lacks, and what must happen between fork and exec: the only unsafe
//! code of this crate.

#![expect(
    unsafe_code,
    reason = "calls that nix lacks, and hooks between fork and exec"
)]

pub(crate) mod child;
pub(crate) mod kvm;
pub(crate) mod memory;
pub(crate) mod net;
pub(crate) mod random;
pub(crate) mod terminal;
