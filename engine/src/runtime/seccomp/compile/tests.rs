//! The filter is run as the kernel would run it and compared with what the profile says.

use oci_spec::runtime::{Capabilities, Capability};
use proptest::prelude::*;

use super::*;
use crate::runtime::seccomp::default_profile;

/// `struct seccomp_data`, of a little-endian machine.
#[derive(Debug, Clone, Copy)]
struct Call {
    audit: u32,
    number: u32,
    args: [u64; 6],
}

impl Call {
    fn native(name: &str, args: [u64; 6]) -> Self {
        let number = NATIVE.number(name).expect(name);
        Self {
            audit: NATIVE.audit(),
            number,
            args,
        }
    }

    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.audit,
            _ => {
                let arg = self.args[usize::try_from((offset - 16) / 8).unwrap()];
                if offset % 8 == 0 {
                    u32::try_from(arg & 0xffff_ffff).unwrap()
                } else {
                    u32::try_from(arg >> 32).unwrap()
                }
            }
        }
    }
}

fn run(program: &[Instruction], call: Call) -> u32 {
    let mut accumulator = 0;
    let mut next = 0;
    loop {
        let Instruction {
            code,
            jump_true,
            jump_false,
            k,
        } = program[next];
        next += 1;
        let holds = match code {
            0x20 => {
                accumulator = call.word(k);
                continue;
            }
            0x54 => {
                accumulator &= k;
                continue;
            }
            0x05 => {
                next += usize::try_from(k).unwrap();
                continue;
            }
            0x06 => return k,
            0x15 => accumulator == k,
            0x25 => accumulator > k,
            0x35 => accumulator >= k,
            other => panic!("instruction {other:#x}"),
        };
        next += usize::from(if holds { jump_true } else { jump_false });
    }
}

fn holds(comparison: &LinuxSeccompArg, args: &[u64; 6]) -> bool {
    use oci_spec::runtime::LinuxSeccompOperator as Op;
    let arg = args[comparison.index()];
    match comparison.op() {
        Op::ScmpCmpEq => arg == comparison.value(),
        Op::ScmpCmpNe => arg != comparison.value(),
        Op::ScmpCmpLt => arg < comparison.value(),
        Op::ScmpCmpLe => arg <= comparison.value(),
        Op::ScmpCmpGt => arg > comparison.value(),
        Op::ScmpCmpGe => arg >= comparison.value(),
        Op::ScmpCmpMaskedEq => {
            let mask = comparison.value();
            arg & mask == comparison.value_two().unwrap_or_default() & mask
        }
    }
}

/// What the profile says, read straight from its rules.
fn expected(profile: &LinuxSeccomp, name: &str, args: &[u64; 6]) -> u32 {
    let rules = profile
        .syscalls()
        .iter()
        .flatten()
        .filter(|rule| rule.names().iter().any(|own| own == name));
    let mut by_argument = Vec::new();
    let mut otherwise = action(profile.default_action(), profile.default_errno_ret()).unwrap();
    for rule in rules {
        let value = action(rule.action(), rule.errno_ret()).unwrap();
        match rule.args().as_deref() {
            None | Some([]) => {
                otherwise = value;
                break;
            }
            Some(comparisons) => by_argument.push((comparisons, value)),
        }
    }
    by_argument
        .into_iter()
        .find(|(comparisons, _)| comparisons.iter().all(|comparison| holds(comparison, args)))
        .map_or(otherwise, |(_, value)| value)
}

fn default_program(capabilities: &[Capability]) -> (LinuxSeccomp, Filter) {
    let set: Capabilities = capabilities.iter().copied().collect();
    let profile = default_profile(&set);
    let filter = compile(&profile).expect("compiles").expect("not empty");
    (profile, filter)
}

const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

#[test]
fn the_default_profile_answers_every_call_as_written() {
    for capabilities in [
        &[][..],
        &[Capability::SysAdmin],
        &[Capability::SysPtrace, Capability::SysTime],
    ] {
        let (profile, filter) = default_program(capabilities);
        for name in NATIVE.names() {
            for first in [0, 8, 40, 0x2_0000, 0x1000_0000, 0xffff_ffff, u64::MAX] {
                let args = [first, 0, 0, 0, 0, 0];
                assert_eq!(
                    run(&filter.program, Call::native(name, args)),
                    expected(&profile, name, &args),
                    "{name} {first:#x}"
                );
            }
        }
    }
}

#[test]
fn what_docker_refuses_is_refused() {
    let (_, filter) = default_program(&[]);
    let answer =
        |name: &str, first| run(&filter.program, Call::native(name, [first, 0, 0, 0, 0, 0]));
    for name in [
        "mount",
        "setns",
        "unshare",
        "bpf",
        "keyctl",
        "add_key",
        "reboot",
        "open_by_handle_at",
        "kexec_load",
        "io_uring_setup",
        "swapon",
    ] {
        assert_eq!(answer(name, 0), EPERM, "{name}");
    }
    for name in [
        "read",
        "execve",
        "futex",
        "openat2",
        "clock_gettime",
        "seccomp",
        "mseal",
    ] {
        assert_eq!(answer(name, 0), ALLOW, "{name}");
    }
    assert_eq!(answer("clone3", 0), ENOSYS);
    assert_eq!(answer("clone", 0x1000_0000), EPERM, "a user namespace");
    assert_eq!(answer("clone", 0x0100_0011), ALLOW, "a thread");
    assert_eq!(answer("socket", 40), EPERM, "AF_VSOCK");
    assert_eq!(answer("socket", 0x1_0000_0028), EPERM, "what is cut off");
    assert_eq!(answer("socket", 2), ALLOW);
    assert_eq!(
        answer("personality", 0x4_0000),
        EPERM,
        "no address randomisation"
    );
}

#[test]
fn a_call_newer_than_the_tables_is_unknown_not_forbidden() {
    let (_, filter) = default_program(&[]);
    let call = Call {
        audit: NATIVE.audit(),
        number: 4000,
        args: [0; 6],
    };
    assert_eq!(run(&filter.program, call), ENOSYS);
}

#[test]
fn capabilities_unlock_their_calls_and_no_others() {
    let (_, filter) = default_program(&[Capability::SysAdmin]);
    let answer = |name: &str| {
        run(
            &filter.program,
            Call::native(name, [0x1000_0000, 0, 0, 0, 0, 0]),
        )
    };
    assert_eq!(answer("mount"), ALLOW);
    assert_eq!(answer("clone3"), ALLOW);
    assert_eq!(answer("clone"), ALLOW);
    assert_eq!(answer("reboot"), EPERM);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn sub_architectures_have_their_own_numbers() {
    let (_, filter) = default_program(&[]);
    for interface in [Interface::X86, Interface::X32] {
        for (name, answer) in [("execve", ALLOW), ("mount", EPERM), ("ptrace", ALLOW)] {
            let number = interface.number(name).expect(name);
            let call = Call {
                audit: interface.audit(),
                number,
                args: [0; 6],
            };
            assert_eq!(run(&filter.program, call), answer, "{interface:?} {name}");
        }
    }
    let arm = Call {
        audit: Interface::Aarch64.audit(),
        number: 63,
        args: [0; 6],
    };
    assert_eq!(run(&filter.program, arm), KILL_THREAD);
}

#[test]
fn the_default_filter_is_short() {
    let (_, filter) = default_program(&[]);
    assert!(
        filter.program.len() < 450,
        "{} instructions",
        filter.program.len()
    );
}

#[test]
fn what_cannot_be_done_is_named() {
    let profile = |json: &str| serde_json::from_str::<LinuxSeccomp>(json).expect("a profile");
    let notify = profile(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["sendmsg"],"action":"SCMP_ACT_NOTIFY"}]}"#,
    );
    insta::assert_snapshot!(compile(&notify).expect_err("refused"), @"seccomp action SCMP_ACT_NOTIFY for sendmsg, or as the default, is not supported; remove it from the profile");
    let argument = profile(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_KILL","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}]}"#,
    );
    insta::assert_snapshot!(compile(&argument).expect_err("refused"), @"a seccomp rule for read looks at argument 6; there are six, counted from 0");
    assert_eq!(
        compile(&profile(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#)).expect("compiles"),
        None
    );
}

fn operators() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"])
}

fn values() -> impl Strategy<Value = u64> {
    // Near each other, so that every outcome of both words is met.
    (
        prop::sample::select(vec![0_u64, 1, 2, 0xffff_ffff]),
        0_u64..3,
    )
        .prop_map(|(low, high)| low | high << 32)
}

prop_compose! {
    fn arguments()(index in 0_usize..3, operator in operators(), value in values(), second in values()) -> serde_json::Value {
        serde_json::json!({"index": index, "op": format!("SCMP_CMP_{operator}"), "value": value, "valueTwo": second})
    }
}

prop_compose! {
    fn rules()(
        names in prop::collection::vec(prop::sample::select(NATIVE.names().collect::<Vec<_>>()), 1..40),
        action in prop::sample::select(vec!["ALLOW", "ERRNO", "KILL_PROCESS", "LOG"]),
        errno in 1_u32..100,
        args in prop::collection::vec(arguments(), 0..3),
    ) -> serde_json::Value {
        let mut seen = std::collections::HashSet::new();
        // Two comparisons of one argument mean "any"; that is tested by itself.
        let args: Vec<_> = args.into_iter().filter(|arg| seen.insert(arg["index"].as_u64())).collect();
        serde_json::json!({"names": names, "action": format!("SCMP_ACT_{action}"), "errnoRet": errno, "args": args})
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_profile_means_the_same_as_bpf(
        rules in prop::collection::vec(rules(), 1..12),
        args in prop::array::uniform6(values()),
    ) {
        let json = serde_json::json!({"defaultAction": "SCMP_ACT_TRAP", "syscalls": rules});
        let profile: LinuxSeccomp = serde_json::from_value(json).expect("a profile");
        let filter = compile(&profile).expect("compiles").expect("not empty");
        for name in NATIVE.names() {
            let answer = run(&filter.program, Call::native(name, args));
            prop_assert_eq!(answer, expected(&profile, name, &args), "{}", name);
        }
    }
}

#[test]
fn two_comparisons_of_one_argument_are_alternatives() {
    let profile: LinuxSeccomp = serde_json::from_str(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW",
            "args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]}]}"#,
    )
    .expect("a profile");
    let filter = compile(&profile).expect("compiles").expect("not empty");
    for (first, answer) in [(1, ALLOW), (2, ALLOW), (3, EPERM)] {
        assert_eq!(
            run(
                &filter.program,
                Call::native("read", [first, 0, 0, 0, 0, 0])
            ),
            answer
        );
    }
}
