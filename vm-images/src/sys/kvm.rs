//! The KVM device.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

/// `_IO(KVMIO, n)`, `include/uapi/linux/kvm.h`.
const GET_API_VERSION: libc::Ioctl = 0xae00;
const CREATE_VM: libc::Ioctl = 0xae01;
const CREATE_VCPU: libc::Ioctl = 0xae41;

/// The version of the interface: 12 since Linux 2.6.22.
pub(crate) fn api_version(kvm: &File) -> io::Result<i32> {
    // SAFETY: KVM_GET_API_VERSION takes no pointer.
    let version = unsafe { libc::ioctl(kvm.as_raw_fd(), GET_API_VERSION, 0) };
    Ok(Errno::result(version)?)
}

/// Makes a virtual machine with one processor, and ends it.
pub(crate) fn create_machine(kvm: &File) -> io::Result<()> {
    // SAFETY: KVM_CREATE_VM takes a machine type, no pointer.
    let machine = unsafe { libc::ioctl(kvm.as_raw_fd(), CREATE_VM, 0) };
    let machine = Errno::result(machine)?;
    // SAFETY: the call above has made this descriptor, which nobody else knows.
    let machine = unsafe { OwnedFd::from_raw_fd(machine) };
    // SAFETY: KVM_CREATE_VCPU takes the processor's number, no pointer.
    let processor = unsafe { libc::ioctl(machine.as_raw_fd(), CREATE_VCPU, 0) };
    let processor = Errno::result(processor)?;
    // SAFETY: the call above has made this descriptor, which nobody else knows.
    drop(unsafe { OwnedFd::from_raw_fd(processor) });
    Ok(())
}
