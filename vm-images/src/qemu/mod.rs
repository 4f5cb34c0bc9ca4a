//! QEMU: its command line, its life, what its guest's console says.

pub mod accelerator;

pub use accelerator::Acceleration;
