//! What an applet is, and how one is found and run.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

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

/// Runs the applet that `program`'s file name calls for, if it is one.
pub fn dispatch(mut args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let program = args.next()?;
    let name = Path::new(&program).file_name()?.to_str()?;
    let applet = applets().find(|applet| applet.name == name)?;
    Some(run(applet.name, args))
}

/// The tool as a program of its own: called by an applet's name, or as `… guest-tool APPLET`.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(code) = dispatch(args.iter().cloned()) {
        return code;
    }
    let mut rest = args.into_iter().skip(1);
    match (rest.next(), rest.next()) {
        (Some(verb), Some(applet)) if verb == "guest-tool" => run(&applet.to_string_lossy(), rest),
        _ => {
            drop(writeln!(
                std::io::stderr().lock(),
                "usage: guest-tool APPLET [ARGUMENT…]"
            ));
            ExitCode::from(2)
        }
    }
}

/// Runs the applet `name` as the whole of this process.
pub fn run(name: &str, args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    match call(name, &args) {
        Ok(answer) => match std::io::stdout().lock().write_all(answer.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(AppletError::Status(status)) => ExitCode::from(status),
        Err(error @ AppletError::Refused { .. }) => {
            drop(writeln!(std::io::stderr().lock(), "{error}"));
            ExitCode::FAILURE
        }
        Err(error @ AppletError::Usage { .. }) => {
            drop(writeln!(std::io::stderr().lock(), "{error}"));
            ExitCode::from(2)
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
    fn an_error_is_named_as_the_kernel_names_it() {
        let error = call("read", &["/nowhere".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "ENOENT: read /nowhere");
        let error = call("read", &[]).unwrap_err();
        assert_eq!(error.to_string(), "usage: read FILE…");
    }
}
