//! What a kernel module says of itself: the `.modinfo` section of its ELF file, NUL-terminated
//! `key=value` strings (`include/linux/moduleparam.h`).

use std::path::PathBuf;

use crate::modules::{Module, is_plain_alias, normal};

/// Why a module's file can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ModinfoError {
    /// No ELF file, or a damaged one.
    #[error("this is no kernel module: it is no ELF file, or its section table is damaged")]
    NotAModule,
    /// An ELF file without the section.
    #[error("this is no kernel module: it has no `.modinfo` section")]
    NoModinfo,
}

/// What a module's file says that it depends on; `path` is put into the result.
pub(crate) fn read(file: &[u8], path: PathBuf) -> Result<Module, ModinfoError> {
    let mut module = Module {
        path,
        ..Module::default()
    };
    for item in section(file, b".modinfo")?.split(|b| *b == 0) {
        let text = String::from_utf8_lossy(item);
        match text.split_once('=') {
            Some(("depends", value)) => {
                module.depends.extend(names(value.split(',')));
            }
            Some(("softdep", value)) => module.prefers.extend(names(before(value))),
            Some(("alias", value)) if is_plain_alias(value) => module.aliases.push(normal(value)),
            _ => {}
        }
    }
    Ok(module)
}

fn names<'a>(words: impl Iterator<Item = &'a str>) -> impl Iterator<Item = String> {
    words.filter(|word| !word.is_empty()).map(normal)
}

/// The names after `pre:` in a `softdep=pre: a b post: c`.
fn before(value: &str) -> impl Iterator<Item = &str> {
    let mut in_pre = false;
    value.split_whitespace().filter(move |word| {
        match *word {
            "pre:" => in_pre = true,
            "post:" => in_pre = false,
            _ => return in_pre,
        }
        false
    })
}

/// How the fields of an ELF file are laid out.
struct Layout {
    wide: bool,
    big_endian: bool,
}

impl Layout {
    fn number(&self, file: &[u8], at: usize, width: usize) -> Option<u64> {
        let bytes = file.get(at..at.checked_add(width)?)?;
        let push = |number, byte: &u8| (number << 8) | u64::from(*byte);
        Some(if self.big_endian {
            bytes.iter().fold(0, push)
        } else {
            bytes.iter().rev().fold(0, push)
        })
    }

    fn size(&self, file: &[u8], at: usize, narrow: usize, wide: usize) -> Option<usize> {
        let (at, width) = if self.wide {
            (at + wide, 8)
        } else {
            (at + narrow, 4)
        };
        usize::try_from(self.number(file, at, width)?).ok()
    }
}

/// The contents of a section of an ELF file, 32 or 64 bits, either byte order.
fn section<'a>(file: &'a [u8], wanted: &[u8]) -> Result<&'a [u8], ModinfoError> {
    find_section(file, wanted)
        .ok_or(ModinfoError::NotAModule)?
        .ok_or(ModinfoError::NoModinfo)
}

/// Outer none: the file is damaged. Inner none: it has no such section.
#[expect(
    clippy::option_option,
    reason = "two kinds of absence, told apart by the only caller"
)]
fn find_section<'a>(file: &'a [u8], wanted: &[u8]) -> Option<Option<&'a [u8]>> {
    if !file.starts_with(b"\x7fELF") {
        return None;
    }
    let layout = Layout {
        wide: *file.get(4)? == 2,
        big_endian: *file.get(5)? == 2,
    };
    // e_shoff, e_shentsize, e_shnum, e_shstrndx; elf(5).
    let table = layout.size(file, 0, 0x20, 0x28)?;
    let counts = if layout.wide { 0x3a } else { 0x2e };
    let entry_size = usize::try_from(layout.number(file, counts, 2)?).ok()?;
    let count = usize::try_from(layout.number(file, counts + 2, 2)?).ok()?;
    let names = usize::try_from(layout.number(file, counts + 4, 2)?).ok()?;
    if entry_size < 0x28 {
        return None;
    }
    let header = |index: usize| -> Option<&'a [u8]> {
        let start = table.checked_add(index.checked_mul(entry_size)?)?;
        file.get(start..start.checked_add(entry_size)?)
    };
    let content = |header: &[u8]| -> Option<&'a [u8]> {
        let offset = layout.size(header, 0, 0x10, 0x18)?;
        let size = layout.size(header, 0, 0x14, 0x20)?;
        file.get(offset..offset.checked_add(size)?)
    };
    let names = content(header(names)?)?;
    for index in 0..count {
        let header = header(index)?;
        let name = usize::try_from(layout.number(header, 0, 4)?).ok()?;
        let name = names.get(name..).unwrap_or_default();
        if name
            .strip_prefix(wanted)
            .is_some_and(|rest| rest.first() == Some(&0))
        {
            return Some(Some(content(header)?));
        }
    }
    Some(None)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A module's file with this `.modinfo`, as a 64-bit little-endian ELF file.
    pub(crate) fn module(modinfo: &[&str]) -> Vec<u8> {
        let text: Vec<u8> = modinfo
            .iter()
            .flat_map(|item| [item.as_bytes(), b"\0"].concat())
            .collect();
        let names = b"\0.modinfo\0.shstrtab\0";
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(0x40, 0);
        let text_at = file.len();
        file.extend(&text);
        let names_at = file.len();
        file.extend(names);
        let table = file.len();
        for (name, at, size) in [
            (0, 0, 0),
            (1, text_at, text.len()),
            (10, names_at, names.len()),
        ] {
            let mut header = vec![0; 0x40];
            header[0..4].copy_from_slice(&u32::try_from(name).unwrap_or(0_u32).to_le_bytes());
            header[0x18..0x20].copy_from_slice(&(at as u64).to_le_bytes());
            header[0x20..0x28].copy_from_slice(&(size as u64).to_le_bytes());
            file.extend(header);
        }
        file[0x28..0x30].copy_from_slice(&(table as u64).to_le_bytes());
        file[0x3a..0x3c].copy_from_slice(&0x40_u16.to_le_bytes());
        file[0x3c..0x3e].copy_from_slice(&3_u16.to_le_bytes());
        file[0x3e..0x40].copy_from_slice(&2_u16.to_le_bytes());
        file
    }

    #[test]
    fn dependencies_soft_dependencies_and_plain_aliases_are_read() {
        let file = module(&[
            "license=GPL",
            "alias=fs-btrfs",
            "alias=pci:v00001AF4d*sv*",
            "softdep=pre: crc32c pre: blake2b-256 post: late",
            "depends=raid6_pq,libcrc32c,xor",
        ]);
        let module = read(&file, PathBuf::from("btrfs.ko")).unwrap();
        assert_eq!(module.depends, ["raid6_pq", "libcrc32c", "xor"]);
        assert_eq!(module.prefers, ["crc32c", "blake2b_256"]);
        assert_eq!(module.aliases, ["fs_btrfs"]);
    }

    #[test]
    fn a_file_without_modinfo_is_no_module() {
        assert_eq!(
            read(b"#!/bin/sh", PathBuf::new()),
            Err(ModinfoError::NotAModule)
        );
        let mut file = module(&["license=GPL"]);
        let at = file.windows(8).position(|w| w == b".modinfo").unwrap();
        file[at] = b'x';
        assert_eq!(read(&file, PathBuf::new()), Err(ModinfoError::NoModinfo));
    }

    proptest! {
        #[test]
        fn damage_anywhere_never_panics(at in 0usize..400, with: u8, cut in 0usize..400) {
            let mut file = module(&["depends=a,b", "softdep=pre: c"]);
            if let Some(byte) = file.get_mut(at) {
                *byte = with;
            }
            drop(read(&file, PathBuf::new()));
            file.truncate(cut);
            drop(read(&file, PathBuf::new()));
        }
    }
}
