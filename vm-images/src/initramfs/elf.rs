//! The part of an ELF program that is needed to run it.
//!
//! A debug build of `seaworthy` is mostly symbols and line tables, which a guest would unpack
//! into its memory for nothing. They stand behind all that is loaded, so the file's front, with
//! a header that no longer points to sections, is the whole program.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

/// Where 64-bit little-endian headers (elf(5)) keep what is read here.
const HEADER: usize = 64;
const PHOFF: usize = 32;
const SHOFF: usize = 40;
const PHENTSIZE: usize = 54;
const PHNUM: usize = 56;
/// Size, number and names index of section headers: 2 bytes each.
const SHENTSIZE: usize = 58;

/// Where program headers keep a segment's place in the file and its length there.
const P_OFFSET: usize = 8;
const P_FILESZ: usize = 32;

/// The program's loaded part: its length and its bytes. Any other file is given whole.
pub(super) fn loaded_part(path: &Path) -> io::Result<(u64, impl Read)> {
    let mut file = File::open(path)?;
    let whole = file.metadata()?.len();
    let mut head = Vec::new();
    (&mut file).take(64 * 1024).read_to_end(&mut head)?;
    let size = match loaded_size(&head) {
        Some(size) if size <= whole => {
            forget_sections(&mut head);
            size
        }
        Some(_) | None => whole,
    };
    file.seek(SeekFrom::Start(
        u64::try_from(head.len()).unwrap_or(u64::MAX),
    ))?;
    Ok((size, Cursor::new(head).chain(file)))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// How far the last segment reaches into the file. `None`: no 64-bit little-endian ELF program,
/// or one of a shape that no linker makes.
fn loaded_size(head: &[u8]) -> Option<u64> {
    // Magic, 64-bit, little-endian.
    if !head.starts_with(b"\x7fELF\x02\x01") || head.len() < HEADER {
        return None;
    }
    let table = usize::try_from(u64_at(head, PHOFF)?).ok()?;
    let entry_size = usize::from(u16_at(head, PHENTSIZE)?);
    let count = usize::from(u16_at(head, PHNUM)?);
    let table_end = u64::try_from(table.checked_add(entry_size * count)?).ok()?;
    (0..count).try_fold(table_end, |end, index| {
        let entry = table.checked_add(index * entry_size)?;
        let offset = u64_at(head, entry.checked_add(P_OFFSET)?)?;
        let size = u64_at(head, entry.checked_add(P_FILESZ)?)?;
        Some(end.max(offset.checked_add(size)?))
    })
}

/// Makes the header say that there are no sections.
fn forget_sections(head: &mut [u8]) {
    for range in [SHOFF..SHOFF + 8, SHENTSIZE..SHENTSIZE + 6] {
        if let Some(bytes) = head.get_mut(range) {
            bytes.fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_loaded_part_of_a_program_runs() {
        // This test's own program: static, and full of symbols.
        let whole = std::env::current_exe().unwrap();
        let (size, mut content) = loaded_part(&whole).unwrap();
        assert!(size < std::fs::metadata(&whole).unwrap().len());
        let folder = tempfile::tempdir().unwrap();
        // Written by another process: while this one has a program open for writing, one that
        // another test forks just then has it too, and it can't be executed.
        let mut shell = Command::new("sh")
            .args(["-c", "cat >part && chmod +x part && exec ./part --list"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = shell.stdin.take().unwrap();
        io::copy(&mut (&mut content).take(size), &mut stdin).unwrap();
        drop(stdin);
        let output = shell.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(output.stdout.ends_with(b"benchmarks\n"), "{output:?}");
    }

    #[test]
    fn what_is_no_program_is_given_whole() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let contents: [&[u8]; 3] = [
            b"",
            b"#!/bin/sh\n",
            &[b"\x7fELF\x02\x01", [0xff; 90].as_slice()].concat(),
        ];
        for content in contents {
            file.as_file().set_len(0).unwrap();
            file.rewind().unwrap();
            file.write_all(content).unwrap();
            let (size, mut part) = loaded_part(file.path()).unwrap();
            let mut bytes = Vec::new();
            part.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, content);
            assert_eq!(usize::try_from(size).unwrap(), content.len());
        }
    }
}
