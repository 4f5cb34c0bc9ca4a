//! From a profile to a filter.
//!
//! The filter looks at the architecture first, then searches the number in a balanced tree of
//! ranges: neighbouring calls with the same answer are one leaf, so that some four hundred names
//! come to some hundred leaves and a call to seven or eight comparisons.

use std::collections::BTreeMap;

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSeccompOperator, LinuxSyscall,
};

use super::Error;
use super::bpf::{ARCHITECTURE, Comparison, NUMBER, give, if_equal, load, skip};
use super::numbers::{Interface, NATIVE};
use super::tree::{Leaf, search};
use crate::sys::program::{Instruction, NEW_LISTENER};

/// A filter, ready to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// At most 4096 (`BPF_MAXINSNS`).
    pub program: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

const MAX_INSTRUCTIONS: usize = 4096;
const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const ALLOW: u32 = 0x7fff_0000;

/// The actions that can be translated.
pub const ACTIONS: [LinuxSeccompAction; 9] = [
    LinuxSeccompAction::ScmpActAllow,
    LinuxSeccompAction::ScmpActErrno,
    LinuxSeccompAction::ScmpActKill,
    LinuxSeccompAction::ScmpActKillProcess,
    LinuxSeccompAction::ScmpActKillThread,
    LinuxSeccompAction::ScmpActLog,
    LinuxSeccompAction::ScmpActNotify,
    LinuxSeccompAction::ScmpActTrace,
    LinuxSeccompAction::ScmpActTrap,
];

/// The comparisons that can be translated.
pub const OPERATORS: [LinuxSeccompOperator; 7] = [
    LinuxSeccompOperator::ScmpCmpEq,
    LinuxSeccompOperator::ScmpCmpGe,
    LinuxSeccompOperator::ScmpCmpGt,
    LinuxSeccompOperator::ScmpCmpLe,
    LinuxSeccompOperator::ScmpCmpLt,
    LinuxSeccompOperator::ScmpCmpMaskedEq,
    LinuxSeccompOperator::ScmpCmpNe,
];

/// The flags that are understood.
pub const FLAGS: [LinuxSeccompFilterFlag; 3] = [
    LinuxSeccompFilterFlag::SeccompFilterFlagLog,
    LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow,
    LinuxSeccompFilterFlag::SeccompFilterFlagTsync,
];

/// What to answer to one call: rules by argument, tried in order, and the answer when none holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    rules: Vec<(Vec<Comparison>, u32)>,
    otherwise: u32,
}

/// Translates a profile; `None` when it allows everything.
pub fn compile(profile: &LinuxSeccomp) -> Result<Option<Filter>, Error> {
    let flags = flags(profile) | notification(profile)?;
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let rules = profile.syscalls().as_deref().unwrap_or_default();
    if default == ALLOW
        && rules
            .iter()
            .all(|rule| rule.action() == LinuxSeccompAction::ScmpActAllow)
    {
        return Ok(None);
    }
    let mut interfaces = vec![NATIVE];
    for arch in profile.architectures().iter().flatten() {
        interfaces.extend(Interface::of(*arch).filter(|interface| !interfaces.contains(interface)));
    }
    let program = assemble(&interfaces, rules, default)?;
    if program.len() > MAX_INSTRUCTIONS {
        return Err(Error::TooLong {
            instructions: program.len(),
        });
    }
    Ok(Some(Filter { program, flags }))
}

impl Filter {
    /// Whether it asks somebody outside.
    pub(in crate::runtime) fn notifies(&self) -> bool {
        self.flags & NEW_LISTENER != 0
    }
}

/// The flag for a filter that asks somebody outside. All of its calls could not: somebody must be
/// told first, by `sendmsg`.
fn notification(profile: &LinuxSeccomp) -> Result<u32, Error> {
    let notify = LinuxSeccompAction::ScmpActNotify;
    let mut rules = profile.syscalls().iter().flatten();
    let early = rules
        .any(|rule| rule.action() == notify && rule.names().iter().any(|name| name == "sendmsg"));
    if early || profile.default_action() == notify {
        return Err(Error::Unsupported {
            what: "action SCMP_ACT_NOTIFY for sendmsg, or as the default,".to_owned(),
        });
    }
    let mut rules = profile.syscalls().iter().flatten();
    Ok(if rules.any(|rule| rule.action() == notify) {
        NEW_LISTENER
    } else {
        0
    })
}

fn flags(profile: &LinuxSeccomp) -> u32 {
    let mut bits = 0;
    for flag in profile.flags().iter().flatten() {
        bits |= match flag {
            // Of one thread's other threads; the child has only one.
            LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
            LinuxSeccompFilterFlag::SeccompFilterFlagLog => 2,
            LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => 4,
        };
    }
    bits
}

fn action(action: LinuxSeccompAction, number: Option<u32>) -> Result<u32, Error> {
    let number = || {
        let number = number.unwrap_or(nix::libc::EPERM.unsigned_abs());
        // The kernel caps an error number at 4095.
        if number > 4095 {
            Err(Error::Unsupported {
                what: format!("error number {number}"),
            })
        } else {
            Ok(number)
        }
    };
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => KILL_THREAD,
        LinuxSeccompAction::ScmpActKillProcess => KILL_PROCESS,
        LinuxSeccompAction::ScmpActTrap => 0x0003_0000,
        LinuxSeccompAction::ScmpActErrno => 0x0005_0000 | number()?,
        LinuxSeccompAction::ScmpActTrace => 0x7ff0_0000 | number()?,
        LinuxSeccompAction::ScmpActLog => 0x7ffc_0000,
        LinuxSeccompAction::ScmpActAllow => ALLOW,
        LinuxSeccompAction::ScmpActNotify => 0x7fc0_0000,
    })
}

fn assemble(
    interfaces: &[Interface],
    rules: &[LinuxSyscall],
    default: u32,
) -> Result<Vec<Instruction>, Error> {
    let mut audits: Vec<u32> = interfaces
        .iter()
        .map(|interface| interface.audit())
        .collect();
    audits.dedup();
    audits.sort_unstable();
    audits.dedup();
    // The native architecture is asked for first.
    audits.sort_by_key(|audit| *audit != NATIVE.audit());
    let mut program = vec![load(ARCHITECTURE)];
    for audit in audits {
        let mut answers = BTreeMap::new();
        for interface in interfaces
            .iter()
            .filter(|interface| interface.audit() == audit)
        {
            collect(*interface, rules, default, &mut answers)?;
        }
        let mut block = vec![load(NUMBER)];
        let leaves = leaves(&answers, default).into_iter();
        let leaves: Vec<_> = leaves
            .map(|(start, answer)| (start, answer.leaf()))
            .collect();
        block.extend(search(&leaves));
        // A jump over more than 255 instructions needs one of its own.
        program.push(if_equal(audit));
        program.push(skip(1));
        program.push(skip(u32::try_from(block.len()).unwrap_or(u32::MAX)));
        program.extend(block);
    }
    // Of an architecture that the profile does not know.
    program.push(give(KILL_THREAD));
    Ok(program)
}

/// Adds the answers for one interface's calls. An earlier rule wins over a later one.
fn collect(
    interface: Interface,
    rules: &[LinuxSyscall],
    default: u32,
    answers: &mut BTreeMap<u32, Answer>,
) -> Result<(), Error> {
    let mut final_answer = std::collections::BTreeSet::new();
    for rule in rules {
        let value = action(rule.action(), rule.errno_ret())?;
        let comparisons = rule.args().as_deref().unwrap_or_default();
        for name in rule.names() {
            let Some(number) = interface.number(name) else {
                // A call that this interface has not, or that is newer than Keel.
                continue;
            };
            if final_answer.contains(&number) {
                continue;
            }
            let answer = answers.entry(number).or_insert(Answer {
                rules: Vec::new(),
                otherwise: default,
            });
            if comparisons.is_empty() {
                answer.otherwise = value;
                final_answer.insert(number);
            } else {
                answer.rules.extend(alternatives(name, comparisons, value)?);
            }
        }
    }
    Ok(())
}

/// Comparisons of different arguments must all hold; of the same argument, any (as runc has it).
fn alternatives(
    name: &str,
    args: &[LinuxSeccompArg],
    value: u32,
) -> Result<Vec<(Vec<Comparison>, u32)>, Error> {
    let comparison = |arg: &LinuxSeccompArg| match u32::try_from(arg.index()) {
        Ok(argument) if argument < 6 => Ok(Comparison {
            argument,
            operator: arg.op(),
            value: arg.value(),
            second: arg.value_two().unwrap_or_default(),
        }),
        _ => Err(Error::Argument {
            name: name.to_owned(),
            index: arg.index(),
        }),
    };
    let comparisons = args.iter().map(comparison).collect::<Result<Vec<_>, _>>()?;
    let mut indices: Vec<_> = comparisons
        .iter()
        .map(|comparison| comparison.argument)
        .collect();
    indices.sort_unstable();
    indices.dedup();
    if indices.len() == comparisons.len() {
        return Ok(vec![(comparisons, value)]);
    }
    Ok(comparisons
        .into_iter()
        .map(|comparison| (vec![comparison], value))
        .collect())
}

/// Ranges of numbers with the same answer: the first number of each, ascending, from 0.
fn leaves(answers: &BTreeMap<u32, Answer>, default: u32) -> Vec<(u32, Answer)> {
    let unknown = Answer {
        rules: Vec::new(),
        otherwise: default,
    };
    let mut leaves = vec![(0, unknown.clone())];
    let mut add = |start: u32, answer: &Answer| {
        if leaves.last().is_some_and(|(last, _)| *last == start) {
            leaves.pop();
        }
        if leaves.last().is_none_or(|(_, last)| last != answer) {
            leaves.push((start, answer.clone()));
        }
    };
    let mut next = 0;
    for (number, answer) in answers {
        if *number > next {
            add(next, &unknown);
        }
        add(*number, answer);
        next = number.saturating_add(1);
    }
    add(next, &unknown);
    leaves
}

impl Answer {
    fn leaf(&self) -> Leaf {
        if self.rules.is_empty() {
            return Leaf::Give(self.otherwise);
        }
        let mut code = Vec::new();
        for (comparisons, value) in &self.rules {
            let mut rule = vec![give(*value)];
            for comparison in comparisons.iter().rev() {
                // Six comparisons of six instructions each are the most there can be.
                let fail = u8::try_from(rule.len()).unwrap_or(u8::MAX);
                let mut whole = comparison.instructions(fail);
                whole.extend(rule);
                rule = whole;
            }
            code.extend(rule);
        }
        code.push(give(self.otherwise));
        Leaf::Ask(code)
    }
}

#[cfg(test)]
mod tests;
