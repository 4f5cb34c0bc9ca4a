//! Kernels and images: how to get them, verify them, boot them and talk to them.
//!
//! Kernels: [`catalogue`] names those that can be had, [`store`] gets them and gives them out as
//! a [`kernel::Kernel`] with its [`modules`].

pub mod agent;
pub mod catalogue;
pub mod compression;
mod cpio;
pub mod deb822;
pub mod disk;
pub mod kernel;
pub mod kernel_image;
pub mod modules;
pub mod package;
pub mod progress;
pub mod qemu;
pub mod store;
mod sys;
pub mod target;
pub mod trouble;
