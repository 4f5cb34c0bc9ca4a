//! Several applets in one process.

use alloc::format;
use alloc::string::String;

use crate::applet::{Applet, AppletError, call};
use crate::errno;

pub(super) const APPLETS: &[Applet] = &[
    Applet {
        name: "try",
        usage: "APPLET ARG… [, APPLET ARG…]…",
        run: attempt_each,
    },
    Applet {
        name: "then",
        usage: "APPLET ARG… [, APPLET ARG…]…",
        run: one_by_one,
    },
];

/// What separates two applets.
const NEXT: &str = ",";

/// One line for each, whatever becomes of the others: `ok`, `ok ANSWER` with the answer's
/// lines joined by `; `, or the error's name.
fn attempt_each(args: &[String]) -> Result<String, AppletError> {
    let mut text = String::new();
    for line in args.split(|arg| arg == NEXT) {
        let (name, rest) = line.split_first().ok_or_else(AppletError::usage)?;
        match call(name, rest) {
            Ok(answer) => {
                let answer = answer.trim_end().replace('\n', "; ");
                text += format!("ok {answer}").trim_end();
            }
            Err(AppletError::Refused { errno, .. }) => {
                text += errno::name(errno);
            }
            Err(other @ (AppletError::Usage { .. } | AppletError::Status(_))) => return Err(other),
        }
        text.push('\n');
    }
    Ok(text)
}

/// Each after the other has succeeded; the answers as they are.
fn one_by_one(args: &[String]) -> Result<String, AppletError> {
    args.split(|arg| arg == NEXT)
        .try_fold(String::new(), |text, line| {
            let (name, rest) = line.split_first().ok_or_else(AppletError::usage)?;
            Ok(text + &call(name, rest)?)
        })
}

#[cfg(test)]
mod tests {
    use std::borrow::ToOwned;
    use std::vec::Vec;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn try_goes_on_after_a_refusal_and_names_it() {
        let text = attempt_each(&words("read /nowhere , echo a b , rmdir /proc")).unwrap();
        assert_eq!(text, "ENOENT\nok a b\nEBUSY\n");
    }

    #[test]
    fn then_stops_at_a_refusal() {
        assert!(one_by_one(&words("echo a , read /nowhere , echo b")).is_err());
        assert_eq!(one_by_one(&words("echo a , echo b")).unwrap(), "a\nb\n");
    }
}
