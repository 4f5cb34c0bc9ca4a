//! A Debian mirror for tests: an archive made in memory, signed with a key of its own, served on
//! loopback with ranges and with faults on demand.

mod archive;
mod server;
mod signing;

pub(crate) use archive::{Archive, SuiteSpec, module_file, vmlinuz};
pub(crate) use server::{Fault, Server};
pub(crate) use signing::{clear_sign, public_key};
