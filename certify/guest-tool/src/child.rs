//! Child processes, and becoming another program.

use alloc::ffi::CString;
use alloc::vec::Vec;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::stdio::{dup2_stdin, dup2_stdout};

use crate::stream::{read_to_end, write_all};
use crate::sys::{Arguments, environment, fork};

/// Where what a child prints goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Output<'a> {
    /// Where this process's output goes.
    Inherited,
    /// Nowhere.
    Nowhere,
    /// Into this pipe.
    Pipe(&'a OwnedFd),
}

/// Starts this program as `applet`, with an empty input.
///
/// As with every start, the kernel's refusal of the program is known here: the child sends it
/// through a pipe that success closes.
pub(crate) fn myself(applet: &str, output: Output<'_>) -> Result<Pid, Errno> {
    let arguments = Arguments::new([c_string(applet)?].into());
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let (refusal, refuse) = pipe_with(PipeFlags::CLOEXEC)?;
    let child = fork(|| {
        let errno = dup2_stdin(&null)
            .and_then(|()| match output {
                Output::Inherited => Ok(()),
                Output::Nowhere => dup2_stdout(&null),
                Output::Pipe(pipe) => dup2_stdout(pipe),
            })
            .err()
            .unwrap_or_else(|| arguments.execute(c"/proc/self/exe"));
        // If the parent is gone, nobody asks.
        let _ = write_all(&refuse, &errno.raw_os_error().to_ne_bytes());
        127
    })?;
    drop(refuse);
    let mut refused = Vec::new();
    read_to_end(&refusal, &mut refused, size_of::<i32>())?;
    match refused.first_chunk() {
        None => Ok(child),
        Some(errno) => {
            wait(child);
            Err(Errno::from_raw_os_error(i32::from_ne_bytes(*errno)))
        }
    }
}

/// Waits for the end of a child.
pub(crate) fn wait(child: Pid) {
    // Refused only where somebody else has waited for it.
    let _ = rustix::io::retry_on_intr(|| waitpid(Some(child), WaitOptions::empty()));
}

/// Becomes `program`, which is looked for along PATH if it is a plain name, as execvp(3) does;
/// returns only the refusal.
pub(crate) fn replace(program: &str, args: &[alloc::string::String]) -> Errno {
    let words = [program]
        .into_iter()
        .chain(args.iter().map(alloc::string::String::as_str));
    let arguments = match words.map(c_string).collect() {
        Ok(words) => Arguments::new(words),
        Err(errno) => return errno,
    };
    if program.is_empty() {
        return Errno::NOENT;
    }
    if program.contains('/') {
        return c_string(program).map_or_else(|errno| errno, |path| arguments.execute(&path));
    }
    let path = environment()
        .find_map(|string| string.to_bytes().strip_prefix(b"PATH="))
        .unwrap_or(b"/bin:/usr/bin");
    let mut refusal = Errno::NOENT;
    for folder in path.split(|byte| *byte == b':') {
        let mut candidate = folder.to_vec();
        if !folder.is_empty() {
            candidate.push(b'/');
        }
        candidate.extend_from_slice(program.as_bytes());
        let Ok(candidate) = CString::new(candidate) else {
            continue;
        };
        match arguments.execute(&candidate) {
            // Told if no other folder has it.
            Errno::ACCESS => refusal = Errno::ACCESS,
            Errno::NOENT | Errno::NOTDIR | Errno::STALE | Errno::NODEV | Errno::TIMEDOUT => {}
            other => return other,
        }
    }
    refusal
}

/// An argument in the kernel's form. It holds no NUL, as it was an argument before.
fn c_string(word: &str) -> Result<CString, Errno> {
    CString::new(word).map_err(|_| Errno::INVAL)
}
