//! System calls that the nix crate lacks, each wrapped so that callers need no `unsafe`: owned
//! types in, owned types out. Calls newer than Linux 3.8 go through `newer`, each with a fallback at
//! its caller.
#![expect(
    unsafe_code,
    reason = "the only module that may call the kernel directly"
)]

pub(crate) mod bpf;
pub mod btrfs;
pub(crate) mod clone;
pub mod clone_file;
pub(crate) mod credentials;
pub(crate) mod fds;
pub mod in_root;
pub(crate) mod mount;
pub(crate) mod network;
pub(crate) mod newer;
pub(crate) mod open;
pub mod pretend;
pub(crate) mod program;
pub(crate) mod scheduling;
pub(crate) mod signals;
pub(crate) mod terminal;
pub(crate) mod user_namespace;
pub mod xattr;
