//! Classic BPF as seccomp uses it: the instructions, and comparisons of 64-bit arguments.

use oci_spec::runtime::LinuxSeccompOperator;

use crate::sys::program::Instruction;

const LOAD: u16 = 0x20;
const RETURN: u16 = 0x06;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_AT_LEAST: u16 = 0x35;

/// Offsets in `struct seccomp_data`.
pub(super) const NUMBER: u32 = 0;
pub(super) const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

const fn plain(code: u16, k: u32) -> Instruction {
    Instruction {
        code,
        jump_true: 0,
        jump_false: 0,
        k,
    }
}

pub(super) const fn load(offset: u32) -> Instruction {
    plain(LOAD, offset)
}

pub(super) const fn give(value: u32) -> Instruction {
    plain(RETURN, value)
}

pub(super) const fn skip(count: u32) -> Instruction {
    plain(JUMP, count)
}

const fn branch(code: u16, k: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction {
        code,
        jump_true,
        jump_false,
        k,
    }
}

/// Goes to the next instruction when the accumulator is `k`, else skips one.
pub(super) const fn if_equal(k: u32) -> Instruction {
    branch(JUMP_EQUAL, k, 0, 1)
}

/// Skips `above` instructions when the accumulator is at least `k`, else `below`.
pub(super) const fn at_least(k: u32, above: u8, below: u8) -> Instruction {
    branch(JUMP_AT_LEAST, k, above, below)
}

/// One comparison of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Comparison {
    /// 0 to 5.
    pub(super) argument: u32,
    pub(super) operator: LinuxSeccompOperator,
    pub(super) value: u64,
    pub(super) second: u64,
}

/// Where a branch of a comparison leads.
#[derive(Clone, Copy)]
enum To {
    /// Behind the comparison: it holds.
    Holds,
    /// Out of the rule: it does not.
    Fails,
    /// To the next instruction.
    Next,
}

const fn low(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

const fn high(value: u64) -> u32 {
    (value >> 32) as u32
}

impl Comparison {
    /// The comparison as instructions that continue behind themselves when it holds, and `fail`
    /// instructions further when not. Words are compared one by one, the high one first.
    pub(super) fn instructions(&self, fail: u8) -> Vec<Instruction> {
        use LinuxSeccompOperator as Op;
        // The order of words in memory is the machine's.
        let (first, second) = if cfg!(target_endian = "little") {
            (0, 4)
        } else {
            (4, 0)
        };
        let at = ARGUMENTS + 8 * self.argument;
        let load_low = (plain(LOAD, at + first), None);
        let load_high = (plain(LOAD, at + second), None);
        let (value_low, value_high) = (low(self.value), high(self.value));
        let step = |code, k, on_true, on_false| (branch(code, k, 0, 0), Some((on_true, on_false)));
        let steps = match self.operator {
            Op::ScmpCmpEq => vec![
                load_high,
                step(JUMP_EQUAL, value_high, To::Next, To::Fails),
                load_low,
                step(JUMP_EQUAL, value_low, To::Holds, To::Fails),
            ],
            Op::ScmpCmpNe => vec![
                load_high,
                step(JUMP_EQUAL, value_high, To::Next, To::Holds),
                load_low,
                step(JUMP_EQUAL, value_low, To::Fails, To::Holds),
            ],
            Op::ScmpCmpGt | Op::ScmpCmpGe => vec![
                load_high,
                step(JUMP_GREATER, value_high, To::Holds, To::Next),
                step(JUMP_EQUAL, value_high, To::Next, To::Fails),
                load_low,
                step(ordering(self.operator), value_low, To::Holds, To::Fails),
            ],
            Op::ScmpCmpLt | Op::ScmpCmpLe => vec![
                load_high,
                step(JUMP_GREATER, value_high, To::Fails, To::Next),
                step(JUMP_EQUAL, value_high, To::Next, To::Holds),
                load_low,
                step(ordering(self.operator), value_low, To::Fails, To::Holds),
            ],
            Op::ScmpCmpMaskedEq => {
                let wanted = self.second & self.value;
                vec![
                    load_high,
                    (plain(AND, value_high), None),
                    step(JUMP_EQUAL, high(wanted), To::Next, To::Fails),
                    load_low,
                    (plain(AND, value_low), None),
                    step(JUMP_EQUAL, low(wanted), To::Holds, To::Fails),
                ]
            }
        };
        let length = steps.len();
        let place = |index: usize, (mut instruction, targets): (Instruction, Option<(To, To)>)| {
            let rest = u8::try_from(length - index - 1).unwrap_or(u8::MAX);
            let distance = |to| match to {
                To::Next => 0,
                To::Holds => rest,
                To::Fails => rest.saturating_add(fail),
            };
            if let Some((on_true, on_false)) = targets {
                instruction.jump_true = distance(on_true);
                instruction.jump_false = distance(on_false);
            }
            instruction
        };
        steps
            .into_iter()
            .enumerate()
            .map(|(index, step)| place(index, step))
            .collect()
    }
}

/// The test of the low words: greater-than for Gt and Le (negated), at-least for Ge and Lt.
fn ordering(operator: LinuxSeccompOperator) -> u16 {
    use LinuxSeccompOperator as Op;
    match operator {
        Op::ScmpCmpGt | Op::ScmpCmpLe => JUMP_GREATER,
        Op::ScmpCmpGe | Op::ScmpCmpLt | Op::ScmpCmpEq | Op::ScmpCmpNe | Op::ScmpCmpMaskedEq => {
            JUMP_AT_LEAST
        }
    }
}
