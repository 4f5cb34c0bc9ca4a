//! The program that every image carries: the guest tool.

use std::fs;
use std::io;

use crate::guest_tool;

/// The guest tool without what only a debugger reads: the small program beside this one, or
/// else this very executable, which answers to the same names.
///
/// A development build is mostly debug information, and every byte of it would be hashed,
/// unpacked and, by a driver that copies, copied again for each container. What a kernel
/// loads is named by the program headers; whatever lies behind the last loaded byte goes, and
/// with it the section table, which no kernel reads (ELF-64 object file format 1.5).
pub(in crate::suite) fn payload() -> io::Result<Vec<u8>> {
    let beside = guest_tool::beside(&std::env::current_exe()?);
    let mut bytes = fs::read(beside.unwrap_or_else(|| "/proc/self/exe".into()))?;
    if let Some(end) = end_of_loaded(&bytes) {
        bytes.truncate(end);
        forget_sections(&mut bytes);
    }
    Ok(bytes)
}

/// Where the last byte that a program header names ends; nothing if this is no ELF-64 file in
/// little-endian order, which then stays as it is.
fn end_of_loaded(elf: &[u8]) -> Option<usize> {
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = usize::try_from(number(elf, 0x20, 8)?).ok()?;
    let size = usize::try_from(number(elf, 0x36, 2)?).ok()?;
    let count = usize::try_from(number(elf, 0x38, 2)?).ok()?;
    let mut end = table.checked_add(size.checked_mul(count)?)?;
    for index in 0..count {
        let header = table + index * size;
        let offset = usize::try_from(number(elf, header + 0x08, 8)?).ok()?;
        let length = usize::try_from(number(elf, header + 0x20, 8)?).ok()?;
        end = end.max(offset.checked_add(length)?);
    }
    (end <= elf.len()).then_some(end)
}

/// Sets the section table's offset, count and name index to none.
fn forget_sections(elf: &mut [u8]) {
    for range in [0x28..0x30, 0x3c..0x40] {
        if let Some(field) = elf.get_mut(range) {
            field.fill(0);
        }
    }
}

/// `length` bytes at `offset`, little-endian.
fn number(bytes: &[u8], offset: usize, length: usize) -> Option<u64> {
    let field = bytes.get(offset..offset.checked_add(length)?)?;
    Some(
        field
            .iter()
            .rev()
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_cut_program_still_runs() {
        let bytes = payload().unwrap();
        assert!(bytes.len() as u64 <= fs::metadata("/proc/self/exe").unwrap().len());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut");
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let done = std::process::Command::new(&path)
            .arg("--list")
            .output()
            .unwrap();
        assert!(String::from_utf8_lossy(&done.stdout).contains("the_cut_program_still_runs"));
    }

    #[test]
    fn what_is_no_program_is_left_alone() {
        for odd in [&b""[..], b"#!/bin/sh", b"\x7fELF\x02\x01", &[0x7f; 100]] {
            assert_eq!(end_of_loaded(odd), None);
        }
    }
}
