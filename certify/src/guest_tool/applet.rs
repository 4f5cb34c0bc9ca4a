//! What an applet is, and how one is found and run.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use nix::errno::Errno;

use super::{basic, files, hunt, net, probe, process, signals, together};

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
#[derive(Debug, thiserror::Error)]
pub enum AppletError {
    /// The kernel refused.
    #[error("{errno:?}: {what}")]
    Refused {
        /// Its reason.
        errno: Errno,
        /// What was tried, on what.
        what: String,
    },
    /// Wrong arguments: a fault of the case.
    #[error("usage: {name} {usage}")]
    Usage {
        /// The applet.
        name: String,
        /// Its arguments.
        usage: &'static str,
    },
    /// It ends with this status and says nothing.
    #[error("exit status {0}")]
    Status(u8),
}

impl AppletError {
    /// The kernel's refusal of `what`.
    pub(super) fn refused(what: impl Into<String>) -> impl FnOnce(Errno) -> Self {
        |errno| Self::Refused {
            errno,
            what: what.into(),
        }
    }

    /// The same, from the standard library's form of an error.
    pub(super) fn failed(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        |error| Self::Refused {
            errno: Errno::from_raw(error.raw_os_error().unwrap_or(0)),
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
pub fn dispatch(mut args: impl Iterator<Item = OsString>) -> Option<u8> {
    let program = args.next()?;
    let name = Path::new(&program).file_name()?.to_str()?;
    if let Some(applet) = applets().find(|applet| applet.name == name) {
        return Some(run(applet.name, args));
    }
    let verb = args.next()?;
    let applet = args.next()?;
    (verb == "guest-tool").then(|| run(&applet.to_string_lossy(), args))
}

/// The tool as a program of its own: its exit status.
pub fn main(args: impl Iterator<Item = OsString>) -> u8 {
    dispatch(args).unwrap_or_else(|| {
        drop(writeln!(
            std::io::stderr().lock(),
            "usage: seaworthy-guest-tool guest-tool APPLET [ARGUMENT…]"
        ));
        2
    })
}

/// Runs the applet `name` as the whole of this process.
fn run(name: &str, args: impl Iterator<Item = OsString>) -> u8 {
    let args: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    match call(name, &args) {
        Ok(answer) => {
            let mut out = std::io::stdout().lock();
            let written = out.write_all(answer.as_bytes());
            u8::from(written.and_then(|()| out.flush()).is_err())
        }
        Err(AppletError::Status(status)) => status,
        Err(error @ AppletError::Refused { .. }) => {
            drop(writeln!(std::io::stderr().lock(), "{error}"));
            1
        }
        Err(error @ AppletError::Usage { .. }) => {
            drop(writeln!(std::io::stderr().lock(), "{error}"));
            2
        }
    }
}

#[cfg(test)]
mod tests {
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
        let words = |line: &'static str| line.split(' ').map(OsString::from);
        for line in ["/bin/true", "/setuid guest-tool true"] {
            assert!(dispatch(words(line)).is_some(), "{line}");
        }
        for line in ["seaworthy", "seaworthy guest-tool", "seaworthy check true"] {
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
