//! Programs that a bundle wants run at points of its container's life (runtime specification,
//! config.md, POSIX-platform hooks).
//!
//! The same code runs them in the engine and in the child that sets itself up, so nothing in
//! [`HookPlan::run`] allocates.

use std::ffi::CString;
use std::fmt;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::unistd::{Pid, pipe2, read, setpgid, write};
use oci_spec::runtime::Hook;

use super::plan::{c_string, invalid};
use super::{Error, ExitStatus};
use crate::sys::clone::{Request, Side, clone, exit_now};
use crate::sys::program::{StringArray, execute};
use crate::sys::{fds, signals};

/// The point of a container's life at which a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookPoint {
    /// In the runtime's namespaces, when the container's exist. Deprecated.
    Prestart,
    /// The same.
    CreateRuntime,
    /// In the container's namespaces, before its root is changed.
    CreateContainer,
    /// In the container, before its program.
    StartContainer,
    /// In the runtime's namespaces, after its program was executed.
    Poststart,
    /// In the runtime's namespaces, after it was deleted.
    Poststop,
}

impl HookPoint {
    /// Its name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }
}

/// How a hook failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookEnd {
    /// It exited with another code than 0.
    Exited(u8),
    /// A signal killed it.
    Signalled(i32),
    /// It was killed as its time was over.
    TimedOut,
    /// It could not be started.
    NotStarted(Errno),
}

impl fmt::Display for HookEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Signalled(signal) => write!(f, "was killed by signal {signal}"),
            Self::TimedOut => f.write_str("took longer than its timeout, and was killed"),
            Self::NotStarted(errno) => write!(f, "could not be started: {}", errno.desc()),
        }
    }
}

/// Each outcome in a number of its own, for the channel to the parent.
const TIMED_OUT: i32 = 0x1_0000;
const SIGNALLED: i32 = 0x2_0000;
const NOT_STARTED: i32 = 0x3_0000;

impl HookEnd {
    pub(super) fn encode(self) -> i32 {
        match self {
            Self::Exited(code) => i32::from(code),
            Self::Signalled(signal) => SIGNALLED | signal,
            Self::TimedOut => TIMED_OUT,
            Self::NotStarted(errno) => NOT_STARTED | errno as i32,
        }
    }

    pub(super) fn decode(number: i32) -> Self {
        let low = number & 0xffff;
        match number & !0xffff {
            TIMED_OUT => Self::TimedOut,
            SIGNALLED => Self::Signalled(low),
            NOT_STARTED => Self::NotStarted(Errno::from_raw(low)),
            _ => Self::Exited(u8::try_from(low).unwrap_or(u8::MAX)),
        }
    }
}

/// What hooks read on their standard input: the container's state, around its process id, which
/// is not known before the clone.
#[derive(Debug, Default)]
pub(super) struct StateText {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl StateText {
    /// Takes apart a state in which the process id is [`StateText::PLACE`].
    pub(super) fn new(state: &str) -> Self {
        // With its quotes it stands in no string of the state.
        let member = format!("\"pid\":{}", Self::PLACE);
        let Some((before, after)) = state.split_once(&member) else {
            return Self {
                before: state.as_bytes().to_vec(),
                after: Vec::new(),
            };
        };
        Self {
            before: format!("{before}\"pid\":").into_bytes(),
            after: after.as_bytes().to_vec(),
        }
    }

    /// A process id that the kernel never gives (`PID_MAX_LIMIT` is 2^22).
    pub(super) const PLACE: u32 = u32::MAX;

    /// The parts, with the process id between them.
    pub(super) fn with<'a>(&'a self, pid: &'a [u8]) -> [&'a [u8]; 3] {
        [&self.before, pid, &self.after]
    }
}

/// A hook, worked out.
#[derive(Debug)]
pub(super) struct HookPlan {
    pub(super) path: CString,
    args: StringArray,
    env: StringArray,
    timeout: Option<Duration>,
}

impl HookPlan {
    /// The hooks of one point.
    pub(super) fn list(point: HookPoint, hooks: Option<&Vec<Hook>>) -> Result<Vec<Self>, Error> {
        let plan = |hook| Self::build(&format!("hooks.{}", point.name()), hook);
        hooks.into_iter().flatten().map(plan).collect()
    }

    fn build(field: &str, hook: &Hook) -> Result<Self, Error> {
        let path = hook.path();
        if !path.is_absolute() {
            return Err(invalid(field, "must have an absolute path"));
        }
        let timeout = match hook.timeout() {
            None => None,
            Some(seconds) => match u64::try_from(seconds) {
                Ok(seconds) if seconds > 0 => Some(Duration::from_secs(seconds)),
                _ => return Err(invalid(field, "must have a timeout above 0, or none")),
            },
        };
        let path = c_string(path.as_os_str().as_bytes(), field)?;
        let strings = |list: &Option<Vec<String>>| {
            let list = list.iter().flatten();
            list.map(|text| c_string(text.as_bytes(), field))
                .collect::<Result<Vec<_>, _>>()
        };
        let mut args = strings(hook.args())?;
        if args.is_empty() {
            args.push(path.clone());
        }
        Ok(Self {
            args: StringArray::new(args),
            env: StringArray::new(strings(hook.env())?),
            path,
            timeout,
        })
    }

    /// Runs it to its end, with the parts of `state` on its standard input.
    pub(super) fn run(&self, state: &[&[u8]]) -> Result<(), HookEnd> {
        let stdin = filled(state).map_err(HookEnd::NotStarted)?;
        let (heard, tell) = pipe2(OFlag::O_CLOEXEC).map_err(HookEnd::NotStarted)?;
        let held = signals::HeldChildSignal::new();
        let pid = match clone(Request::default()) {
            Ok(Side::Child) => {
                // A group of its own, which is killed as a whole when its time is over.
                let _own = setpgid(Pid::from_raw(0), Pid::from_raw(0));
                // Its output is not the container's.
                let ready = fds::become_stream(stdin.as_fd(), libc::STDIN_FILENO)
                    .and_then(|()| fds::error_as_output());
                signals::reset();
                let errno = match ready {
                    Ok(()) => execute(&self.path, &self.args, &self.env),
                    Err(errno) => errno,
                };
                let _told = write(&tell, &(errno as i32).to_ne_bytes());
                exit_now(127)
            }
            Ok(Side::Parent { pid, .. }) => i32::try_from(pid).unwrap_or_default(),
            Err(errno) => return Err(HookEnd::NotStarted(errno)),
        };
        drop((stdin, tell));
        let ended = wait(pid, self.timeout);
        drop(held);
        let mut errno = [0; 4];
        if read(&heard, &mut errno) == Ok(errno.len()) {
            let errno = Errno::from_raw(i32::from_ne_bytes(errno));
            return Err(HookEnd::NotStarted(errno));
        }
        match ended? {
            ExitStatus::Exited(0) => Ok(()),
            ExitStatus::Exited(code) => Err(HookEnd::Exited(code)),
            ExitStatus::Signalled(signal) => Err(HookEnd::Signalled(signal)),
        }
    }

    /// For messages.
    pub(super) fn shown(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

/// A pipe that holds all of it already: a hook that reads nothing keeps nobody waiting.
fn filled(parts: &[&[u8]]) -> Result<std::os::fd::OwnedFd, Errno> {
    /// What every pipe holds (16 pages).
    const USUAL: usize = 1 << 16;
    let (stdin, fill) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length > USUAL {
        let length = i32::try_from(length).map_err(|_| Errno::E2BIG)?;
        fcntl(&fill, FcntlArg::F_SETPIPE_SZ(length))?;
    }
    for part in parts {
        if write(&fill, part)? != part.len() {
            return Err(Errno::E2BIG);
        }
    }
    fcntl(&stdin, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(stdin)
}

/// Waits for a child; SIGCHLD is held back.
fn wait(pid: i32, timeout: Option<Duration>) -> Result<ExitStatus, HookEnd> {
    let end = timeout.map(|timeout| Instant::now() + timeout);
    loop {
        match signals::reap_now(pid) {
            Ok(Some(ended)) => return Ok(ExitStatus::from_raw(ended.status)),
            Ok(None) => {}
            Err(errno) => return Err(HookEnd::NotStarted(errno)),
        }
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            // All that it started in its group too; it may just have ended.
            let _killed = signals::send(-pid, libc::SIGKILL);
            let _killed = signals::send(pid, libc::SIGKILL);
            let _reaped = signals::reap(pid);
            return Err(HookEnd::TimedOut);
        }
        // Interrupted, timed out, or told: look again.
        let _woken = signals::await_child(left);
    }
}

/// Runs the hooks of a point in this process's own namespaces, until one fails.
///
/// # Errors
/// [`Error::Hook`] of the first that failed; [`Error::Invalid`] of one that cannot be run.
pub fn run_hooks(point: HookPoint, hooks: Option<&Vec<Hook>>, state: &str) -> Result<(), Error> {
    run_planned(point, &HookPlan::list(point, hooks)?, &[state.as_bytes()])
}

pub(super) fn run_planned(
    point: HookPoint,
    hooks: &[HookPlan],
    state: &[&[u8]],
) -> Result<(), Error> {
    for hook in hooks {
        hook.run(state).map_err(|end| Error::Hook {
            point: point.name(),
            path: hook.shown(),
            end,
        })?;
    }
    Ok(())
}

/// This process's id in the pid namespace of `proc`, in decimal, without allocating: `buffer` has
/// room for it.
pub(super) fn own_pid<'a>(
    proc: std::os::fd::BorrowedFd<'_>,
    buffer: &'a mut [u8; 16],
) -> Result<&'a [u8], Errno> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let link = nix::fcntl::openat(proc, c"self", flags, nix::sys::stat::Mode::empty())?;
    crate::sys::open::read_link(link.as_fd(), buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(json: &str) -> Result<HookPlan, Error> {
        let hook: Hook = serde_json::from_str(json).expect("a hook");
        HookPlan::build("hooks.test", &hook)
    }

    fn sh(script: &str, more: &str) -> HookPlan {
        let script = serde_json::to_string(script).expect("JSON");
        hook(&format!(
            r#"{{"path":"/bin/sh","args":["sh","-c",{script}]{more}}}"#
        ))
        .expect("a plan")
    }

    #[test]
    fn a_hook_reads_the_state_and_has_only_its_own_environment() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out");
        let script = format!("cat > {0}; echo -n $HOME$A >> {0}", out.display());
        let hook = sh(&script, r#","env":["A=1","PATH=/bin:/usr/bin"]"#);
        let text = StateText::new(&format!(r#"{{"pid":{},"id":"x"}}"#, StateText::PLACE));
        hook.run(&text.with(b"7")).expect("well");
        let out = std::fs::read_to_string(out).expect("written");
        assert_eq!(out, r#"{"pid":7,"id":"x"}1"#);
    }

    #[test]
    fn each_way_to_fail_is_told_apart() {
        let none: [&[u8]; 0] = [];
        assert_eq!(sh("exit 3", "").run(&none), Err(HookEnd::Exited(3)));
        let killed = sh("kill -9 $$", "").run(&none);
        assert_eq!(killed, Err(HookEnd::Signalled(9)));
        let slow = sh("sleep 60", r#","timeout":1"#).run(&none);
        assert_eq!(slow, Err(HookEnd::TimedOut));
        let absent = hook(r#"{"path":"/nonexistent"}"#).expect("a plan");
        let end = HookEnd::NotStarted(Errno::ENOENT);
        assert_eq!(absent.run(&none), Err(end));
    }

    #[test]
    fn a_hook_that_reads_nothing_may_have_a_long_state() {
        let long = vec![b'x'; 300_000];
        sh("exit 0", "").run(&[&long]).expect("well");
    }

    #[test]
    fn ends_survive_the_channel() {
        for end in [
            HookEnd::Exited(255),
            HookEnd::Signalled(9),
            HookEnd::TimedOut,
            HookEnd::NotStarted(Errno::EACCES),
        ] {
            assert_eq!(HookEnd::decode(end.encode()), end);
        }
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        for json in [
            r#"{"path":"bin/true"}"#,
            r#"{"path":"/bin/true","timeout":0}"#,
            r#"{"path":"/bin/true","timeout":-1}"#,
        ] {
            hook(json).expect_err(json);
        }
    }
}
