//! One execution of a program: what goes in, a deadline, and what came out.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

/// How long a verb may take before it is taken for hung. Generous, as a guest without
/// hardware virtualisation is up to fifty times slower; nothing waits for it to pass.
const DEADLINE: Duration = Duration::from_secs(90);

/// The most of each stream that is kept of one command, in bytes.
const OUTPUT_LIMIT: u64 = 16 << 20;

/// A command line that is about to be executed.
#[derive(Debug)]
pub struct Invocation {
    argv: Vec<OsString>,
    shown: Option<String>,
    stdin: Option<Vec<u8>>,
    deadline: Duration,
}

/// What failed below the engine: the harness or the machine, never the engine's answer.
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// It could not be started.
    #[error("can't execute `{program}`: check that it is an executable for this machine")]
    Start {
        /// The program.
        program: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Its output could not be kept.
    #[error("can't keep the output of `{program}`: make room in the temporary folder")]
    Output {
        /// The program.
        program: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It was still running at its deadline, and was killed.
    #[error("`{command}` did not end within {seconds} s and was killed")]
    Hung {
        /// The whole command line.
        command: String,
        /// The deadline.
        seconds: u64,
    },
}

/// A command that ended by itself.
#[derive(Debug)]
pub struct Finished {
    /// The command line as a person would type it.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output, at most 16 MiB.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error, at most 16 MiB.
    pub stderr: Vec<u8>,
}

/// A command that was started and not yet waited for. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    command: String,
    program: String,
    child: Child,
    ended: mpsc::Receiver<()>,
    watcher: Option<JoinHandle<()>>,
    stdout: File,
    stderr: File,
    deadline: Duration,
}

impl Invocation {
    /// Executes `program` with `args`.
    pub fn new<S: AsRef<OsStr>>(program: &Path, args: impl IntoIterator<Item = S>) -> Self {
        let mut words = vec![program.as_os_str().to_owned()];
        words.extend(args.into_iter().map(|word| word.as_ref().to_owned()));
        Self {
            argv: words,
            shown: None,
            stdin: None,
            deadline: DEADLINE,
        }
    }

    /// What it finds on its standard input; otherwise that is `/dev/null`.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// How messages show the command line; otherwise as it is.
    #[must_use]
    pub fn shown_as(mut self, words: &[OsString]) -> Self {
        self.shown = Some(shown(words));
        self
    }

    /// Another deadline.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Result<Finished, InvocationError> {
        self.start()?.finish()
    }

    /// Starts it.
    ///
    /// Its output goes to unnamed files rather than pipes: a container that keeps the
    /// stream of the command that started it can't make the harness wait for it.
    pub fn start(self) -> Result<Running, InvocationError> {
        let command = self.shown.unwrap_or_else(|| shown(&self.argv));
        let mut argv = self.argv.into_iter();
        let program = argv.next().unwrap_or_default();
        let name = program.to_string_lossy().into_owned();
        let output = |source| InvocationError::Output {
            program: name.clone(),
            source,
        };
        let stdin = match self.stdin {
            None => Stdio::null(),
            Some(bytes) => {
                let mut file = tempfile::tempfile().map_err(output)?;
                file.write_all(&bytes).map_err(output)?;
                file.rewind().map_err(output)?;
                Stdio::from(file)
            }
        };
        let stdout = tempfile::tempfile().map_err(output)?;
        let stderr = tempfile::tempfile().map_err(output)?;
        let child = Command::new(&program)
            .args(argv)
            .stdin(stdin)
            .stdout(Stdio::from(stdout.try_clone().map_err(output)?))
            .stderr(Stdio::from(stderr.try_clone().map_err(output)?))
            .spawn()
            .map_err(|source| InvocationError::Start {
                program: name.clone(),
                source,
            })?;
        let (ended, watcher) = watch(&child);
        Ok(Running {
            command,
            program: name,
            child,
            ended,
            watcher: Some(watcher),
            stdout,
            stderr,
            deadline: self.deadline,
        })
    }
}

/// Tells when `child` has ended without reaping it, so that its process id stays its own for
/// as long as it may still be signalled.
fn watch(child: &Child) -> (mpsc::Receiver<()>, JoinHandle<()>) {
    let (tell, ended) = mpsc::channel();
    // The kernel's process ids end at 2^22: the conversion never takes the other branch.
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0));
    let watcher = std::thread::spawn(move || {
        while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
            == Err(nix::errno::Errno::EINTR)
        {}
        // Where the command was dropped nobody listens any more.
        let _: Result<(), _> = tell.send(());
    });
    (ended, watcher)
}

impl Running {
    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.watcher.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// What it has written to its standard output so far.
    pub fn stdout_so_far(&self) -> io::Result<Vec<u8>> {
        read_whole(&self.stdout)
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Result<Finished, InvocationError> {
        if self.ended.recv_timeout(self.deadline).is_err() {
            return Err(InvocationError::Hung {
                command: self.command.clone(),
                seconds: self.deadline.as_secs(),
            });
        }
        let output = |source| InvocationError::Output {
            program: self.program.clone(),
            source,
        };
        let status = self.child.wait().map_err(output)?;
        Ok(Finished {
            command: self.command.clone(),
            status,
            stdout: read_whole(&self.stdout).map_err(output)?,
            stderr: read_whole(&self.stderr).map_err(output)?,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already reaped after `finish`: then both do nothing.
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(watcher) = self.watcher.take() {
            drop(watcher.join());
        }
    }
}

impl Finished {
    /// The exit code; 128 + the signal's number for an engine that a signal ended.
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .or_else(|| self.status.signal().map(|signal| 128 + signal))
            .unwrap_or(-1)
    }

    /// Its standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Command line, status and the end of each stream: enough to need no second run.
    pub fn account(&self) -> String {
        format!(
            "`{}` ended with {}; stdout: {:?}; stderr: {:?}",
            self.command,
            self.code(),
            tail(&self.out()),
            tail(&self.err()),
        )
    }
}

/// The last 600 characters.
fn tail(text: &str) -> String {
    let text = text.trim_end();
    let skipped = text.chars().count().saturating_sub(600);
    text.chars().skip(skipped).collect()
}

/// The file from its beginning, whatever offset the child's end of it stands at.
fn read_whole(file: &File) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;

    struct FromStart<'a>(&'a File, u64);
    impl Read for FromStart<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read_at(buffer, self.1)?;
            self.1 += read as u64;
            Ok(read)
        }
    }
    let mut bytes = Vec::new();
    FromStart(file, 0)
        .take(OUTPUT_LIMIT)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The command line with long arguments cut and odd ones quoted.
fn shown(argv: &[OsString]) -> String {
    argv.iter()
        .map(|arg| {
            let arg = arg.to_string_lossy();
            let plain = !arg.is_empty() && !arg.contains(|c: char| c.is_whitespace() || c == '\'');
            if plain {
                arg.into_owned()
            } else {
                format!("{arg:?}")
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_hangs_is_killed_and_named() {
        let error = Invocation::new(Path::new("/bin/sleep"), ["1000"])
            .deadline(Duration::ZERO)
            .run()
            .unwrap_err();
        assert!(
            matches!(&error, InvocationError::Hung { command, .. } if command == "/bin/sleep 1000"),
            "{error}"
        );
    }

    #[test]
    fn input_output_and_status_come_through() {
        let done = Invocation::new(Path::new("/bin/sh"), ["-c", "cat; echo no >&2; exit 7"])
            .stdin("yes")
            .run()
            .unwrap();
        assert_eq!(
            (done.out().as_str(), done.err().as_str(), done.code()),
            ("yes", "no\n", 7)
        );
    }

    #[test]
    fn a_program_that_is_absent_is_the_harness_own_trouble() {
        let error = Invocation::new(Path::new("/nowhere"), [""; 0])
            .run()
            .unwrap_err();
        assert!(matches!(error, InvocationError::Start { .. }));
    }
}
