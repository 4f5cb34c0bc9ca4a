//! QEMU: its command line, its life, what its guest's console says.

pub mod accelerator;
pub mod command;
pub mod console;
pub mod kvm;
pub mod machine;
mod process;
pub mod qmp;
pub mod snapshot;

pub use accelerator::Acceleration;
pub use machine::{Launch, LaunchError, Machine};
pub use snapshot::{Memory, Snapshot};
