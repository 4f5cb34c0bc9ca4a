//! A fault, and how it bends an engine's command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use matrix::sabotage::Sabotage;

use crate::adapter::Finished;

/// A known fault that can be built into any engine from outside.
#[derive(Debug)]
pub struct Fault {
    /// The name that `--sabotage` takes, and that stands in the engine's identity.
    pub name: &'static str,
    /// The case that must fail.
    pub caught_by: &'static str,
    /// What is wrong.
    pub bend: Bend,
}

/// There is no such fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault `{0}`: there are {names}", names = names())]
pub struct UnknownFault(String);

fn names() -> String {
    let names: Vec<&str> = super::FAULTS.iter().map(|fault| fault.name).collect();
    names.join(", ")
}

/// What stands behind an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Its value.
    Follows,
    /// The next argument.
    None,
}

/// How an engine's command line is bent.
#[derive(Debug)]
pub enum Bend {
    /// An option of `run` is accepted and does nothing.
    Drop {
        /// All its spellings.
        option: &'static [&'static str],
        /// Whether a value follows.
        value: Value,
    },
    /// `run` behaves as if these options were given.
    Add(&'static [&'static str]),
    /// Every exit code of a verb but 0 becomes this one.
    Status {
        /// The verb.
        verb: &'static str,
        /// The code.
        becomes: i32,
    },
    /// A verb says yes and does nothing.
    Ignore(&'static str),
    /// A verb is called with other options than were asked for.
    Swap {
        /// The verb.
        verb: &'static str,
        /// The argument.
        from: &'static str,
        /// What stands in its place.
        to: &'static str,
    },
    /// A verb does what another does, without its options.
    Rename {
        /// The verb.
        verb: &'static str,
        /// The other, and its options.
        to: &'static [&'static str],
    },
    /// The standard output of a verb is lost.
    Mute(&'static str),
}

impl Fault {
    /// The fault of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<&'static Self, UnknownFault> {
        let fault = super::FAULTS.iter().find(|fault| fault.name == name);
        fault.ok_or_else(|| UnknownFault(name.to_owned()))
    }

    /// What is said of it in a run.
    pub fn sabotage(&self) -> Sabotage {
        Sabotage {
            fault: self.name.to_owned(),
            caught_by: self.caught_by.to_owned(),
        }
    }

    /// Bends a command line.
    pub(crate) fn bend(&self, verb: &mut OsString, args: &mut Vec<OsString>) {
        match &self.bend {
            Bend::Drop { option, value } => {
                if verb == "run" {
                    drop_option(args, option, *value);
                }
            }
            Bend::Add(options) => {
                if verb == "run" {
                    args.splice(0..0, options.iter().map(OsString::from));
                }
            }
            Bend::Ignore(ignored) => {
                if verb == *ignored {
                    *verb = "version".into();
                    args.clear();
                }
            }
            Bend::Swap {
                verb: swapped,
                from,
                to,
            } => {
                if verb == *swapped {
                    for arg in args.iter_mut().filter(|arg| arg.as_os_str() == *from) {
                        *arg = OsString::from(to);
                    }
                }
            }
            Bend::Rename { verb: renamed, to } => {
                if let (true, Some((other, options)), Some(name)) =
                    (verb == *renamed, to.split_first(), args.pop())
                {
                    *verb = OsString::from(other);
                    *args = options.iter().map(OsString::from).chain([name]).collect();
                }
            }
            Bend::Status { .. } | Bend::Mute(_) => {}
        }
    }

    /// Bends an answer.
    pub(crate) fn bend_answer(&self, verb: &str, answer: &mut Finished) {
        match &self.bend {
            Bend::Status {
                verb: bent,
                becomes,
            } => {
                if verb == *bent && answer.code() != 0 {
                    answer.status = ExitStatus::from_raw(becomes << 8);
                }
            }
            Bend::Mute(muted) => {
                if verb == *muted {
                    answer.stdout.clear();
                }
            }
            Bend::Drop { .. }
            | Bend::Add(_)
            | Bend::Ignore(_)
            | Bend::Swap { .. }
            | Bend::Rename { .. } => {}
        }
    }
}

/// Removes every occurrence of the option, `--option VALUE` and `--option=VALUE` alike. The
/// container's own command is safe, as no applet takes options.
fn drop_option(args: &mut Vec<OsString>, spellings: &[&str], value: Value) {
    let mut kept = Vec::with_capacity(args.len());
    let mut rest = args.drain(..);
    while let Some(arg) = rest.next() {
        if spellings.iter().any(|spelling| arg == OsStr::new(spelling)) {
            if value == Value::Follows {
                drop(rest.next());
            }
            continue;
        }
        let joined = arg
            .to_string_lossy()
            .split_once('=')
            .is_some_and(|(name, _)| spellings.contains(&name));
        if !joined {
            kept.push(arg);
        }
    }
    drop(rest);
    *args = kept;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bent(bend: Bend, verb: &str, args: &[&str]) -> String {
        let fault = Fault {
            name: "",
            caught_by: "",
            bend,
        };
        let mut verb = OsString::from(verb);
        let mut args: Vec<OsString> = args.iter().map(OsString::from).collect();
        fault.bend(&mut verb, &mut args);
        args.insert(0, verb);
        args.iter()
            .map(|arg| arg.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_dropped_option_takes_its_value_with_it_in_either_form() {
        let drop = || Bend::Drop {
            option: &["--pids-limit"],
            value: Value::Follows,
        };
        assert_eq!(
            bent(drop(), "run", &["--rm", "--pids-limit", "9", "image"]),
            "run --rm image"
        );
        assert_eq!(
            bent(drop(), "run", &["--pids-limit=9", "image"]),
            "run image"
        );
        assert_eq!(
            bent(drop(), "exec", &["--pids-limit", "9"]),
            "exec --pids-limit 9"
        );
    }

    #[test]
    fn an_ignored_verb_still_says_yes() {
        assert_eq!(bent(Bend::Ignore("kill"), "kill", &["name"]), "version");
        assert_eq!(bent(Bend::Ignore("kill"), "stop", &["name"]), "stop name");
    }

    #[test]
    fn every_fault_has_a_name_of_its_own_and_a_case_that_must_catch_it() {
        let cases = crate::suite::catalogue();
        let mut names = std::collections::BTreeSet::new();
        for fault in super::super::FAULTS {
            assert!(names.insert(fault.name), "{} twice", fault.name);
            assert!(
                cases.iter().any(|case| case.id == fault.caught_by),
                "{} is caught by no case",
                fault.name
            );
            assert!(Fault::named(fault.name).is_ok());
        }
    }
}
