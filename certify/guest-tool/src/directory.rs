//! Reading folders.

use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::mem::MaybeUninit;

use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags, RawDir, open};
use rustix::io::Errno;

/// Calls `act` with each name in the folder, in the kernel's order, until it refuses.
pub(crate) fn each_name(
    folder: impl AsFd,
    mut act: impl FnMut(&CStr) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut room = [MaybeUninit::<u8>::uninit(); 8192];
    let mut entries = RawDir::new(folder, &mut room);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            act(name)?;
        }
    }
    Ok(())
}

/// The names in the folder `path`, in the kernel's order.
pub(crate) fn names(path: &str) -> Result<Vec<String>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = open(path, flags, Mode::empty())?;
    let mut names = Vec::new();
    each_name(folder, |name| {
        names.push(name.to_string_lossy().into_owned());
        Ok(())
    })?;
    Ok(names)
}
