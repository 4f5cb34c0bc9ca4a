//! Extended attributes of open files, and of names in open folders without following links.

use std::ffi::{CStr, CString, OsStr, c_void};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;
use nix::libc;

/// Sets an attribute of an open file; `O_PATH` descriptors are refused by the kernel.
pub fn set(file: impl AsFd, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: the name ends with a zero, and value and length belong together.
    let result = unsafe {
        libc::fsetxattr(
            file.as_fd().as_raw_fd(),
            name.as_ptr(),
            value.as_ptr().cast::<c_void>(),
            value.len(),
            0,
        )
    };
    Errno::result(result).map(drop)
}

/// Sets an attribute of the entry `name` in `folder` itself, be it a link or a device.
pub fn set_at(
    folder: BorrowedFd<'_>,
    entry: &OsStr,
    name: &CStr,
    value: &[u8],
) -> Result<(), Errno> {
    let path = by_descriptor(folder, entry)?;
    // SAFETY: both strings end with a zero, and value and length belong together.
    let result = unsafe {
        libc::lsetxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast::<c_void>(),
            value.len(),
            0,
        )
    };
    Errno::result(result).map(drop)
}

/// The names of all attributes of the entry in `folder` itself. A file system without attributes
/// has none.
pub fn list_at(folder: BorrowedFd<'_>, entry: &OsStr) -> Result<Vec<CString>, Errno> {
    let path = by_descriptor(folder, entry)?;
    let mut buffer = vec![0_u8; 256];
    let length = loop {
        // SAFETY: the path ends with a zero; the kernel writes at most `buffer.len()` bytes.
        let result = unsafe {
            libc::llistxattr(
                path.as_ptr(),
                buffer.as_mut_ptr().cast::<libc::c_char>(),
                buffer.len(),
            )
        };
        match Errno::result(result) {
            Ok(length) => break usize::try_from(length).unwrap_or(0),
            // 64 KiB is the kernel's own limit (XATTR_LIST_MAX).
            Err(Errno::ERANGE) if buffer.len() < 65536 => buffer.resize(65536, 0),
            Err(Errno::EOPNOTSUPP) => return Ok(Vec::new()),
            Err(errno) => return Err(errno),
        }
    };
    buffer.truncate(length);
    Ok(buffer
        .split_inclusive(|byte| *byte == 0)
        .filter_map(|name| CStr::from_bytes_with_nul(name).ok())
        .map(CStr::to_owned)
        .collect())
}

/// The value of an attribute of the entry in `folder` itself, or `None` if it has none.
pub fn get_at(
    folder: BorrowedFd<'_>,
    entry: &OsStr,
    name: &CStr,
) -> Result<Option<Vec<u8>>, Errno> {
    let path = by_descriptor(folder, entry)?;
    let mut buffer = vec![0_u8; 256];
    loop {
        // SAFETY: both strings end with a zero; the kernel writes at most `buffer.len()` bytes.
        let result = unsafe {
            libc::lgetxattr(
                path.as_ptr(),
                name.as_ptr(),
                buffer.as_mut_ptr().cast::<c_void>(),
                buffer.len(),
            )
        };
        match Errno::result(result) {
            Ok(length) => {
                buffer.truncate(usize::try_from(length).unwrap_or(0));
                return Ok(Some(buffer));
            }
            // 64 KiB is the kernel's own limit (XATTR_SIZE_MAX).
            Err(Errno::ERANGE) if buffer.len() < 65536 => buffer.resize(65536, 0),
            Err(Errno::ENODATA | Errno::EOPNOTSUPP) => return Ok(None),
            Err(errno) => return Err(errno),
        }
    }
}

/// A path to an entry that goes through the open folder, because calls that take a folder's
/// descriptor came with 6.13 only (setxattrat). The last component is not followed by the
/// `l…xattr` calls, and the one before is the descriptor itself.
fn by_descriptor(folder: BorrowedFd<'_>, entry: &OsStr) -> Result<CString, Errno> {
    let mut path = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
    path.extend_from_slice(entry.as_bytes());
    CString::new(path).map_err(|_| Errno::EINVAL)
}
