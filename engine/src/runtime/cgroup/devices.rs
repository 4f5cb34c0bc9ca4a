//! Which devices a group may use: a list of rules for v1, a BPF program for v2.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::Error;
use crate::sys::bpf::Instruction;

/// A rule; `None` for any type or number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    allow: bool,
    kind: Option<Kind>,
    major: Option<u32>,
    minor: Option<u32>,
    access: Access,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Block,
    Char,
}

/// `BPF_DEVCG_ACC_*`: mknod 1, read 2, write 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Access(u32);

const MKNOD: Access = Access(1);
const ALL: Access = Access(7);

/// What every container may use, whatever the spec denies: nodes can be made, and those that
/// every container has can be opened.
const DEFAULTS: [Rule; 11] = [
    rule(Kind::Char, None, None, MKNOD),
    rule(Kind::Block, None, None, MKNOD),
    rule(Kind::Char, Some(1), Some(3), ALL),
    rule(Kind::Char, Some(1), Some(5), ALL),
    rule(Kind::Char, Some(1), Some(7), ALL),
    rule(Kind::Char, Some(1), Some(8), ALL),
    rule(Kind::Char, Some(1), Some(9), ALL),
    rule(Kind::Char, Some(5), Some(0), ALL),
    rule(Kind::Char, Some(5), Some(1), ALL),
    rule(Kind::Char, Some(5), Some(2), ALL),
    // Unix 98 terminals.
    rule(Kind::Char, Some(136), None, ALL),
];

const fn rule(kind: Kind, major: Option<u32>, minor: Option<u32>, access: Access) -> Rule {
    Rule {
        allow: true,
        kind: Some(kind),
        major,
        minor,
        access,
    }
}

/// The spec's rules with the defaults behind them; none when the spec has none.
pub(super) fn rules(spec: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>, Error> {
    if spec.is_empty() {
        return Ok(Vec::new());
    }
    let mut rules = spec.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    rules.extend(DEFAULTS);
    Ok(rules)
}

fn parse(spec: &LinuxDeviceCgroup) -> Result<Rule, Error> {
    let wrong = || Error::Rule {
        rule: format!("{spec:?}"),
    };
    let number = |value: Option<i64>| match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value).map(Some).map_err(|_| wrong()),
    };
    let mut access = 0;
    for letter in spec.access().as_deref().unwrap_or_default().chars() {
        access |= match letter {
            'm' => 1,
            'r' => 2,
            'w' => 4,
            _ => return Err(wrong()),
        };
    }
    let kind = match spec.typ() {
        None | Some(LinuxDeviceType::A) => None,
        Some(LinuxDeviceType::B) => Some(Kind::Block),
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(Kind::Char),
        Some(LinuxDeviceType::P) => return Err(wrong()),
    };
    Ok(Rule {
        allow: spec.allow(),
        kind,
        major: number(spec.major())?,
        minor: number(spec.minor())?,
        // Without letters a rule is about every access.
        access: if access == 0 { ALL } else { Access(access) },
    })
}

impl Rule {
    /// The v1 file and the line for it.
    pub(super) fn legacy(self) -> (&'static str, String) {
        let number =
            |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        let kind = match self.kind {
            // The kernel takes nothing but the letter into account.
            None => return (self.file(), "a".to_owned()),
            Some(Kind::Block) => 'b',
            Some(Kind::Char) => 'c',
        };
        let letters = [(1, 'm'), (2, 'r'), (4, 'w')];
        let access: String = letters
            .iter()
            .filter(|(bit, _)| self.access.0 & bit != 0)
            .map(|(_, letter)| letter)
            .collect();
        (
            self.file(),
            format!(
                "{kind} {}:{} {access}",
                number(self.major),
                number(self.minor)
            ),
        )
    }

    fn file(self) -> &'static str {
        if self.allow {
            "devices.allow"
        } else {
            "devices.deny"
        }
    }

    /// Whether no access can pass it by.
    fn fits_all(&self) -> bool {
        self.kind.is_none() && self.major.is_none() && self.minor.is_none() && self.access == ALL
    }

    /// Whether two rules are about the same devices.
    fn same_devices(&self, other: &Self) -> bool {
        (self.kind, self.major, self.minor) == (other.kind, other.major, other.minor)
    }
}

/// The v2 program: the last rule that fits decides. An allowing rule fits when it covers all of
/// the access asked for, a denying one when it covers any of it. No rule: allowed.
pub(super) fn program(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = vec![
        // r2 = type and access; r3 = access; r2 = type; r4 = major; r5 = minor
        load(2, 0),
        move_register(3, 2),
        shift_right(3, 16),
        and(2, 0xffff),
        load(4, 4),
        load(5, 8),
    ];
    for rule in merged(rules).iter().rev() {
        append_rule(&mut program, rule);
        if rule.fits_all() {
            // The verifier refuses instructions that cannot be reached.
            return program;
        }
    }
    program.extend([set_result(1), EXIT]);
    program
}

/// Adjacent rules that allow the same devices become one, so that "r" and "w" allow "rw".
fn merged(rules: &[Rule]) -> Vec<Rule> {
    let mut merged: Vec<Rule> = Vec::new();
    for rule in rules {
        match merged
            .iter_mut()
            .rev()
            .take_while(|earlier| earlier.allow)
            .find(|earlier| earlier.same_devices(rule))
        {
            Some(earlier) if rule.allow => earlier.access.0 |= rule.access.0,
            _ => merged.push(*rule),
        }
    }
    merged
}

fn append_rule(program: &mut Vec<Instruction>, rule: &Rule) {
    let mut tests = Vec::new();
    if let Some(kind) = rule.kind {
        let number = match kind {
            Kind::Block => 1,
            Kind::Char => 2,
        };
        tests.push(Test::NotEqual(2, number));
    }
    if rule.access != ALL {
        tests.push(if rule.allow {
            Test::HasOther(rule.access)
        } else {
            Test::HasNone(rule.access)
        });
    }
    tests.extend(rule.major.map(|major| Test::NotEqual(4, major)));
    tests.extend(rule.minor.map(|minor| Test::NotEqual(5, minor)));
    let length: usize = tests.iter().map(|test| test.length()).sum();
    let mut left = length + 2;
    for test in tests {
        left -= test.length();
        test.append(program, i16::try_from(left).unwrap_or(i16::MAX));
    }
    program.extend([set_result(i32::from(rule.allow)), EXIT]);
}

/// Conditions under which a rule does not fit.
#[derive(Clone, Copy)]
enum Test {
    NotEqual(u8, u32),
    HasOther(Access),
    HasNone(Access),
}

impl Test {
    fn length(self) -> usize {
        match self {
            Self::NotEqual(..) => 1,
            Self::HasOther(_) | Self::HasNone(_) => 3,
        }
    }

    /// Skips `skip` instructions behind itself when the condition holds.
    fn append(self, program: &mut Vec<Instruction>, skip: i16) {
        match self {
            Self::NotEqual(register, value) => program.push(jump(0x55, register, value, skip)),
            Self::HasOther(access) => {
                program.extend([
                    move_register(1, 3),
                    and(1, !access.0 & 7),
                    jump(0x55, 1, 0, skip),
                ]);
            }
            Self::HasNone(access) => {
                program.extend([
                    move_register(1, 3),
                    and(1, access.0),
                    jump(0x15, 1, 0, skip),
                ]);
            }
        }
    }
}

/// The same bits: BPF's operands are signed.
const fn signed(bits: u32) -> i32 {
    i32::from_ne_bytes(bits.to_ne_bytes())
}

const EXIT: Instruction = Instruction {
    code: 0x95,
    registers: 0,
    offset: 0,
    immediate: 0,
};

/// 32-bit load from the context, which r1 points to.
const fn load(to: u8, offset: i16) -> Instruction {
    Instruction {
        code: 0x61,
        registers: to | 1 << 4,
        offset,
        immediate: 0,
    }
}

const fn move_register(to: u8, from: u8) -> Instruction {
    Instruction {
        code: 0xbc,
        registers: to | from << 4,
        offset: 0,
        immediate: 0,
    }
}

const fn shift_right(register: u8, by: i32) -> Instruction {
    Instruction {
        code: 0x74,
        registers: register,
        offset: 0,
        immediate: by,
    }
}

const fn and(register: u8, mask: u32) -> Instruction {
    Instruction {
        code: 0x54,
        registers: register,
        offset: 0,
        immediate: signed(mask),
    }
}

const fn jump(code: u8, register: u8, value: u32, skip: i16) -> Instruction {
    Instruction {
        code,
        registers: register,
        offset: skip,
        immediate: signed(value),
    }
}

const fn set_result(value: i32) -> Instruction {
    Instruction {
        code: 0xb7,
        registers: 0,
        offset: 0,
        immediate: value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel would, on (type, access, major, minor).
    fn run(program: &[Instruction], context: (u32, u32, u32, u32)) -> bool {
        let (kind, access, major, minor) = context;
        let words = [access << 16 | kind, major, minor];
        let mut registers = [0_u64; 10];
        let mut next = 0_usize;
        loop {
            let Instruction {
                code,
                registers: pair,
                offset,
                immediate,
            } = program[next];
            let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
            let value = u64::from(u32::from_ne_bytes(immediate.to_ne_bytes()));
            next += 1;
            match code {
                0x61 => registers[to] = u64::from(words[usize::try_from(offset).unwrap() / 4]),
                0xbc => registers[to] = registers[from] & 0xffff_ffff,
                0x74 => registers[to] = (registers[to] & 0xffff_ffff) >> value,
                0x54 => registers[to] &= value,
                0x55 if registers[to] != value => next += usize::try_from(offset).unwrap(),
                0x15 if registers[to] == value => next += usize::try_from(offset).unwrap(),
                0x55 | 0x15 => {}
                0xb7 => registers[to] = value,
                0x95 => return registers[0] == 1,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    fn spec(json: &str) -> Vec<Rule> {
        rules(&serde_json::from_str::<Vec<LinuxDeviceCgroup>>(json).expect("rules"))
            .expect("valid rules")
    }

    const BLOCK: u32 = 1;
    const CHAR: u32 = 2;

    #[test]
    fn denied_disks_can_be_made_but_not_read() {
        let program = program(&spec(r#"[{"allow":false,"access":"rwm"}]"#));
        assert!(run(&program, (BLOCK, 1, 8, 0)), "mknod");
        assert!(!run(&program, (BLOCK, 2, 8, 0)), "read");
        assert!(!run(&program, (BLOCK, 3, 8, 0)), "mknod and read");
        assert!(run(&program, (CHAR, 6, 1, 3)), "/dev/null");
        assert!(run(&program, (CHAR, 6, 136, 7)), "a terminal");
        assert!(!run(&program, (CHAR, 2, 10, 229)), "fuse");
    }

    #[test]
    fn later_rules_win_and_accesses_of_one_device_add_up() {
        let program = program(&spec(
            r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"b","major":8,"minor":0,"access":"r"},
                {"allow":true,"type":"b","major":8,"minor":0,"access":"w"}]"#,
        ));
        assert!(run(&program, (BLOCK, 6, 8, 0)));
        assert!(!run(&program, (BLOCK, 6, 8, 1)));
    }

    #[test]
    fn a_privileged_list_allows_everything() {
        let program = program(&spec(r#"[{"allow":true,"access":"rwm"}]"#));
        assert!(run(&program, (BLOCK, 7, 259, 3)));
    }

    #[test]
    fn v1_lines_are_what_the_kernel_parses() {
        let lines: Vec<_> = spec(r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"access":"rw"}]"#)
            .into_iter()
            .take(3)
            .map(Rule::legacy)
            .collect();
        assert_eq!(lines[0], ("devices.deny", "a".to_owned()));
        assert_eq!(lines[1], ("devices.allow", "c 10:* rw".to_owned()));
        assert_eq!(lines[2], ("devices.allow", "c *:* m".to_owned()));
    }

    #[test]
    fn a_rule_with_other_letters_is_refused() {
        let bad: LinuxDeviceCgroup =
            serde_json::from_str(r#"{"allow":true,"access":"rx"}"#).expect("a rule");
        rules(&[bad]).expect_err("x is no access");
    }
}
