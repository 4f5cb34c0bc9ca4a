//! System calls that the nix crate lacks, each wrapped so that callers need no `unsafe`.
#![expect(
    unsafe_code,
    reason = "the only module that may call the kernel directly"
)]

pub mod btrfs;
pub mod clone_file;
pub mod in_root;
pub mod xattr;
