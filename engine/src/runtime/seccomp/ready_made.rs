//! The filter that nearly every container gets, translated beforehand: translating it costs a
//! tenth of a container's start.

use oci_spec::runtime::Capabilities;

use super::profile::is_usual;
use super::{Error, Filter, Instruction, compile, default_profile};

#[cfg(target_arch = "x86_64")]
#[path = "ready_made/x86_64.rs"]
mod usual;

/// None is ready for the other architectures yet.
#[cfg(not(target_arch = "x86_64"))]
mod usual {
    pub(super) const PROGRAM: [u64; 0] = [];
}

/// Docker's default profile for a process with these capabilities, as a filter.
///
/// # Errors
/// As [`compile()`].
pub fn default_filter(capabilities: &Capabilities) -> Result<Option<Filter>, Error> {
    if usual::PROGRAM.is_empty() || !is_usual(capabilities) {
        return compile(&default_profile(capabilities));
    }
    Ok(Some(Filter {
        program: usual::PROGRAM.iter().copied().map(instruction).collect(),
        flags: 0,
    }))
}

/// An instruction as the kernel has it in memory on a little-endian machine.
fn instruction(word: u64) -> Instruction {
    let [code, code_high, jump_true, jump_false, k @ ..] = word.to_le_bytes();
    Instruction {
        code: u16::from_le_bytes([code, code_high]),
        jump_true,
        jump_false,
        k: u32::from_le_bytes(k),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::super::profile::UNLOCKED;
    use super::*;

    /// With `KEEL_UPDATE_FILTER=1` in the environment, writes the file anew.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn what_is_ready_made_is_what_would_be_made() {
        let usual = Capabilities::from(UNLOCKED);
        let made = compile(&default_profile(&usual)).unwrap().unwrap();
        if std::env::var_os("KEEL_UPDATE_FILTER").is_some() {
            let path = concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/src/runtime/seccomp/ready_made/x86_64.rs"
            );
            std::fs::write(path, file(&made.program)).unwrap();
        }
        assert_eq!(default_filter(&usual).unwrap(), Some(made));
    }

    #[test]
    fn other_capabilities_have_filters_of_their_own() {
        let none = default_filter(&Capabilities::new()).unwrap();
        assert_eq!(
            none,
            compile(&default_profile(&Capabilities::new())).unwrap()
        );
        assert_ne!(none, default_filter(&Capabilities::from(UNLOCKED)).unwrap());
    }

    fn word(instruction: Instruction) -> String {
        let Instruction { code, k, .. } = instruction;
        let jumps = u16::from_le_bytes([instruction.jump_true, instruction.jump_false]);
        format!(
            "0x{:04x}_{:04x}_{jumps:04x}_{code:04x}",
            k >> 16,
            k & 0xffff
        )
    }

    fn file(program: &[Instruction]) -> String {
        let mut text = format!(
            "//! Written by a test of the module above: change nothing here.\n\n\
             #[rustfmt::skip]\n\
             pub(super) const PROGRAM: [u64; {}] = [\n",
            program.len()
        );
        for four in program.chunks(4) {
            let words: Vec<_> = four.iter().copied().map(word).collect();
            writeln!(text, "    {},", words.join(", ")).unwrap();
        }
        text.push_str("];\n");
        text
    }
}
