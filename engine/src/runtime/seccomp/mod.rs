//! System call filters: Docker's default profile as data, and the translation of any profile of
//! the runtime specification to BPF.

mod bpf;
mod compile;
mod numbers;
mod profile;
mod ready_made;
mod tree;

pub use compile::{ACTIONS, FLAGS, Filter, OPERATORS, compile};
pub use numbers::ARCHITECTURES;
pub use profile::default_profile;
pub use ready_made::default_filter;

pub use crate::sys::program::Instruction;

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
    /// An argument that no system call has.
    #[error("a seccomp rule for {name} looks at argument {index}; there are six, counted from 0")]
    Argument {
        /// The system call.
        name: String,
        /// Which argument.
        index: usize,
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
