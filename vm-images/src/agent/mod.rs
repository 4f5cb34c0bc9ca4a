//! The guest channel: one protocol, both ends.
//!
//! [`frame`] is the wire, [`message`] what is said on it. The server ([`server`], with `exec`
//! and `files`) runs in a guest, on this host or at the other end of an ssh connection; it is
//! plain threads, so that it stays small there. The client ([`client`]) is async, as the
//! harness waits for many machines at once. [`init`] and [`modules`] make a kernel without a
//! distribution into a machine that the server can run on.

use std::fmt::Write as _;
use std::time::Duration;

mod cgroups;
mod channel;
pub mod client;
mod devices;
mod error;
mod exec;
mod facts;
mod files;
pub mod frame;
pub mod init;
pub mod message;
pub mod modules;
pub mod server;
mod wake;

pub use channel::ReceiveError;
pub use error::{AgentError, Lost};

/// The name of the virtio-serial port that the channel runs over.
pub const PORT: &str = "org.seaworthy.agent.0";

/// How often a client asks whether the server lives.
pub const PING_EVERY: Duration = Duration::from_secs(2);

/// How long either side may say nothing before the other takes it for dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(10);

/// Bytes in lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string can't fail.
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}
