//! What to run.

use std::fmt;

use crate::agent::message::{Exec, TerminalSize};

/// What a program reads.
#[derive(Clone, PartialEq, Eq)]
pub enum Input {
    /// Nothing: `/dev/null`.
    Null,
    /// These bytes.
    Bytes(Vec<u8>),
    /// What is written to the [`super::InputSink`].
    Piped,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::Piped => f.write_str("Piped"),
        }
    }
}

/// A program to run on a machine. Nothing is passed through a shell, and nothing is inherited
/// but what stands here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub(super) exec: Exec,
    pub(super) input: Input,
}

impl Command {
    /// Runs `program`, searched in the usual `PATH` unless it has a slash, in `/`, with an
    /// environment of only `PATH` and `HOME`, reading nothing.
    pub fn new(program: impl Into<String>) -> Self {
        let standard = [
            (
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
            ("HOME", "/root"),
        ];
        Self {
            exec: Exec {
                argv: vec![program.into()],
                env: standard.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
                cwd: None,
                input: false,
                terminal: None,
            },
            input: Input::Null,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.exec.argv.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.exec.argv.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.exec.env.retain(|(known, _)| *known != name);
        self.exec.env.push((name, value.into()));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn cwd(mut self, folder: impl Into<String>) -> Self {
        self.exec.cwd = Some(folder.into());
        self
    }

    /// Sets what the program reads.
    #[must_use]
    pub fn input(mut self, input: Input) -> Self {
        self.exec.input = input != Input::Null;
        self.input = input;
        self
    }

    /// Runs the program on a terminal; its error output then is part of its output.
    #[must_use]
    pub fn terminal(mut self, size: TerminalSize) -> Self {
        self.exec.terminal = Some(size);
        self
    }

    /// The program's name.
    pub fn program(&self) -> &str {
        self.exec.argv.first().map_or("", String::as_str)
    }
}
