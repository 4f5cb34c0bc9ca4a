//! Kernels and images: how to get them, verify them, boot them and talk to them.
//!
//! Kernels: [`catalogue`] names those that can be had, [`store`] gets them and gives them out as
//! a [`kernel::Kernel`] with its [`modules`].

pub mod agent;
pub mod cache;
pub mod catalogue;
pub mod compression;
mod cpio;
pub mod deb822;
mod debian_version;
pub mod disk;
#[cfg(test)]
mod fake_mirror;
pub mod fetch;
pub mod index;
pub mod initramfs;
pub mod kernel;
pub mod kernel_image;
pub mod mirror;
mod modinfo;
pub mod modules;
pub mod package;
pub mod progress;
pub mod proxy;
pub mod qemu;
pub mod store;
mod sys;
pub mod target;
pub mod trouble;
pub mod unpack;
pub mod verify;
