//! What an applet is, and how one is found and run.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use rustix::io::Errno;

use crate::stream::{OUT, complain, say};
use crate::{basic, errno, files, hunt, net, probe, process, signals, together};

/// One applet.
#[derive(Debug, Clone, Copy)]
pub struct Applet {
    /// The name that it is called by.
    pub name: &'static str,
    /// Its arguments, as a usage line shows them.
    pub usage: &'static str,
    /// What it does; the answer is printed as it is.
    pub run: fn(&[String]) -> Result<String, AppletError>,
}

/// Why an applet has no answer.
#[derive(Debug)]
pub enum AppletError {
    /// The kernel refused.
    Refused {
        /// Its reason.
        errno: Errno,
        /// What was tried, on what.
        what: String,
    },
    /// Wrong arguments: a fault of the case.
    Usage {
        /// The applet.
        name: String,
        /// Its arguments.
        usage: &'static str,
    },
    /// It ends with this status and says nothing.
    Status(u8),
}

impl fmt::Display for AppletError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { errno, what } => write!(f, "{}: {what}", errno::name(*errno)),
            Self::Usage { name, usage } => write!(f, "usage: {name} {usage}"),
            Self::Status(status) => write!(f, "exit status {status}"),
        }
    }
}

impl core::error::Error for AppletError {}

impl AppletError {
    /// The kernel's refusal of `what`.
    pub(super) fn refused(what: impl Into<String>) -> impl FnOnce(Errno) -> Self {
        |errno| Self::Refused {
            errno,
            what: what.into(),
        }
    }

    /// Wrong arguments; the name is filled in where the applet is known.
    pub(super) fn usage() -> Self {
        Self::Usage {
            name: String::new(),
            usage: "",
        }
    }
}

/// The first argument as a number.
pub(super) fn number<T: FromStr>(args: &[String]) -> Result<T, AppletError> {
    let first = args.first().and_then(|arg| arg.parse().ok());
    first.ok_or_else(AppletError::usage)
}

/// Every applet there is.
pub fn applets() -> impl Iterator<Item = &'static Applet> {
    [
        basic::APPLETS,
        files::APPLETS,
        process::APPLETS,
        signals::APPLETS,
        net::APPLETS,
        probe::APPLETS,
        hunt::APPLETS,
        together::APPLETS,
    ]
    .into_iter()
    .flatten()
}

/// Runs the applet `name`.
pub(super) fn call(name: &str, args: &[String]) -> Result<String, AppletError> {
    let Some(applet) = applets().find(|applet| applet.name == name) else {
        return Err(AppletError::Usage {
            name: name.to_owned(),
            usage: "(there is no such applet)",
        });
    };
    (applet.run)(args).map_err(|error| match error {
        AppletError::Usage { .. } => AppletError::Usage {
            name: applet.name.to_owned(),
            usage: applet.usage,
        },
        other @ (AppletError::Refused { .. } | AppletError::Status(_)) => other,
    })
}

/// Runs the applet that is called for, if one is: by the program's own file name, or by the
/// words `guest-tool APPLET`. Its exit status.
pub fn dispatch(mut args: impl Iterator<Item = Vec<u8>>) -> Option<u8> {
    let program = args.next()?;
    let name = file_name(&program)?;
    if let Some(applet) = applets().find(|applet| applet.name.as_bytes() == name) {
        return Some(run(applet.name, args));
    }
    let verb = args.next()?;
    let applet = args.next()?;
    (verb == b"guest-tool").then(|| run(&String::from_utf8_lossy(&applet), args))
}

/// The last part of a path.
fn file_name(path: &[u8]) -> Option<&[u8]> {
    let mut parts = path.rsplit(|byte| *byte == b'/');
    parts
        .find(|part| !matches!(*part, b"" | b"."))
        .filter(|part| *part != b"..")
}

/// The tool as a program of its own: its exit status.
pub fn main(args: impl Iterator<Item = Vec<u8>>) -> u8 {
    dispatch(args).unwrap_or_else(|| {
        complain("usage: seaworthy-guest-tool guest-tool APPLET [ARGUMENT…]\n");
        2
    })
}

/// Runs the applet `name` as the whole of this process.
fn run(name: &str, args: impl Iterator<Item = Vec<u8>>) -> u8 {
    let args: Vec<String> = args
        .map(|arg| String::from_utf8_lossy(&arg).into_owned())
        .collect();
    let (error, status) = match call(name, &args) {
        Ok(answer) => return u8::from(say(OUT, answer.as_bytes()).is_err()),
        Err(AppletError::Status(status)) => return status,
        Err(error @ AppletError::Refused { .. }) => (error, 1),
        Err(error @ AppletError::Usage { .. }) => (error, 2),
    };
    complain(&format!("{error}\n"));
    status
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn every_applet_has_a_name_of_its_own() {
        let mut names: Vec<_> = applets().map(|applet| applet.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(!names.contains(&"seaworthy"));
    }

    #[test]
    fn an_applet_is_called_by_the_programs_name_or_by_a_word() {
        let words = |line: &'static str| line.split(' ').map(|word| word.as_bytes().to_vec());
        for line in ["/bin/true", "true/", "/setuid guest-tool true"] {
            assert!(dispatch(words(line)).is_some(), "{line}");
        }
        for line in [
            "",
            "seaworthy",
            "seaworthy guest-tool",
            "seaworthy check true",
            " guest-tool true",
        ] {
            assert!(dispatch(words(line)).is_none(), "{line}");
        }
    }

    #[test]
    fn an_error_is_named_as_the_kernel_names_it() {
        let error = call("read", &["/nowhere".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "ENOENT: read /nowhere");
        let error = call("read", &[]).unwrap_err();
        assert_eq!(error.to_string(), "usage: read FILE…");
    }
}
