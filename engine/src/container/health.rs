//! Whether a container is well: what a look at it found, and when to look again.
//!
//! Its monitor only knows the times. A look is a process of its own ([`PROBE`]), which runs the
//! command in the container as `keel exec` does, and writes what it found to `health.json`: so the
//! monitor stays small, and nothing that a command says can harm it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::read;
use serde::{Deserialize, Serialize};

use super::exec::Execution;
use super::state::Status;
use super::store::replace_json;
use super::{Container, Error, ExecRequest, Phase, clock, store};
use crate::image::config::Healthcheck;

/// The verb that looks once: `keel monitor-probe ROOT FOLDER`. Not for users.
pub const PROBE: &str = "monitor-probe";

const FILE: &str = "health.json";
/// What Docker keeps.
const MOST_RESULTS: usize = 5;
const MOST_OUTPUT: usize = 4096;

/// How a container is, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No look has found it well yet.
    Starting,
    /// The last looks found it well, or not often enough otherwise.
    Healthy,
    /// So many looks in a row found that it is not.
    Unhealthy,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Starting, Self::Healthy, Self::Unhealthy];

    /// Docker's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// The contents of `health.json`: Docker's `State.Health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Health {
    /// How it is.
    pub status: Verdict,
    /// How many looks in a row have failed.
    pub failing_streak: u32,
    /// The last looks, the oldest first.
    pub log: Vec<Look>,
}

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Look {
    /// When it began, RFC 3339 in UTC.
    pub start: String,
    /// When it was over.
    pub end: String,
    /// 0: it is well; -1: the command did not end in time, or could not be run.
    pub exit_code: i32,
    /// What the command said, or why it could not be run.
    pub output: String,
}

/// A health check with all its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) start_period: Duration,
    pub(super) start_interval: Duration,
    retries: u32,
}

impl Times {
    /// Those of a check; zero means Docker's default.
    pub(super) fn of(check: &Healthcheck) -> Self {
        let or = |nanoseconds: i64, default| {
            let given = u64::try_from(nanoseconds).unwrap_or(0);
            if given == 0 {
                Duration::from_secs(default)
            } else {
                Duration::from_nanos(given)
            }
        };
        Self {
            interval: or(check.interval, 30),
            timeout: or(check.timeout, 30),
            start_period: or(check.start_period, 0),
            start_interval: or(check.start_interval, 5),
            retries: u32::try_from(check.retries)
                .ok()
                .filter(|&n| n > 0)
                .unwrap_or(3),
        }
    }

    /// How long to wait before the next look at a container that has run for so long.
    pub(super) fn until_next(&self, verdict: Verdict, ran: Duration) -> Duration {
        if verdict == Verdict::Starting && ran < self.start_period {
            self.start_interval
        } else {
            self.interval
        }
    }
}

/// Whether an image or a user wants looks at a container.
pub(super) fn is_wanted(check: Option<&Healthcheck>) -> bool {
    let test = check.and_then(|check| check.test.first());
    test.is_some_and(|kind| kind != "NONE")
}

impl Health {
    fn starting() -> Self {
        Self {
            status: Verdict::Starting,
            failing_streak: 0,
            log: Vec::new(),
        }
    }

    /// What it comes to with another look, at a container that had run for so long, by Docker's
    /// rules: failures of one that is starting do not count for a while.
    fn with(mut self, look: Look, times: &Times, ran: Duration) -> Self {
        if look.exit_code == 0 {
            self.failing_streak = 0;
            self.status = Verdict::Healthy;
        } else if self.status != Verdict::Starting || ran >= times.start_period {
            self.failing_streak = self.failing_streak.saturating_add(1);
            if self.failing_streak >= times.retries {
                self.status = Verdict::Unhealthy;
            }
        }
        self.log.push(look);
        let surplus = self.log.len().saturating_sub(MOST_RESULTS);
        self.log.drain(..surplus);
        self
    }
}

impl Container {
    /// How it is. `None`: nobody looks.
    pub fn health(&self) -> Option<Health> {
        if !is_wanted(self.config().process.healthcheck.as_ref()) {
            return None;
        }
        let text = fs::read(self.folder().join(FILE)).ok();
        let known = text.and_then(|text| serde_json::from_slice(&text).ok());
        Some(known.unwrap_or_else(Health::starting))
    }

    /// Forgets how it was: it starts anew.
    pub(super) fn forget_health(&self) -> Result<(), Error> {
        let path = self.folder().join(FILE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Looks once, and notes what was found. `None`: it does not run (any more).
    fn look(&mut self) -> Result<Option<Verdict>, Error> {
        let Some(check) = self.config().process.healthcheck.clone() else {
            return Ok(None);
        };
        let Some(before) = self.health().filter(|_| self.phase() == Phase::Running) else {
            return Ok(None);
        };
        let times = Times::of(&check);
        let process = self.state().process.clone();
        let ran = self.ran_for();
        let start = clock::now();
        let (exit_code, output) = match self.ask(&check, times.timeout) {
            Ok(answer) => answer,
            Err(error) => (-1, super::start::chain(&error, ": ")),
        };
        self.refresh()?;
        // What was asked may have ended meanwhile, and another been started.
        if self.state().status != Status::Running || self.state().process != process {
            return Ok(None);
        }
        let look = Look {
            start,
            end: clock::now(),
            exit_code,
            output,
        };
        let was = before.status;
        let health = before.with(look, &times, ran);
        replace_json(self.folder(), FILE, &health, store::Durability::Volatile)?;
        if health.status != was {
            self.tell(&format!("health_status: {}", health.status.as_str()), &[]);
        }
        Ok(Some(health.status))
    }

    fn ran_for(&self) -> Duration {
        let started = self.state().started.as_ref();
        let started = started.and_then(|time| time.parse::<Timestamp>().ok());
        let ran = started.map(|started| Timestamp::now().duration_since(started));
        ran.and_then(|ran| Duration::try_from(ran).ok())
            .unwrap_or_default()
    }

    /// Runs the command: its exit code, and what it said.
    fn ask(&self, check: &Healthcheck, timeout: Duration) -> Result<(i32, String), Error> {
        let request = ExecRequest {
            args: command(check, &self.config().process.shell),
            env: Vec::new(),
            working_dir: None,
            user: None,
            tty: false,
            open_stdin: false,
            privileged: false,
        };
        let execution = self.start_probe(request)?;
        let said = hear(&execution, Instant::now() + timeout);
        let pid = execution.process.pid();
        let lost = |source| Error::Process {
            action: "wait for",
            pid,
            source,
        };
        match said.map_err(lost)? {
            Heard::All(said) => {
                let status = execution.process.wait().map_err(lost)?;
                self.tell_exec_end(&execution, status.code());
                Ok((i32::from(status.code()), said))
            }
            Heard::NoEnd => {
                execution.process.kill(Signal::SIGKILL).map_err(lost)?;
                let status = execution.process.wait().map_err(lost)?;
                self.tell_exec_end(&execution, status.code());
                Ok((-1, format!("Health check exceeded timeout ({timeout:?})")))
            }
        }
    }
}

/// `CMD` is executed as it is, `CMD-SHELL` by the image's shell.
fn command(check: &Healthcheck, shell: &[String]) -> Vec<String> {
    match check.test.split_first() {
        Some((kind, rest)) if kind == "CMD-SHELL" => {
            let mut words = if shell.is_empty() {
                vec!["/bin/sh".to_owned(), "-c".to_owned()]
            } else {
                shell.to_vec()
            };
            words.extend_from_slice(rest);
            words
        }
        Some((kind, rest)) if kind == "CMD" => rest.to_vec(),
        // The first form of this, before 2016, was the command alone.
        _ => check.test.clone(),
    }
}

/// What came of listening to a command.
enum Heard {
    /// It has ended; this is the beginning of what it said.
    All(String),
    /// It has not ended in time.
    NoEnd,
}

/// Listens until the command ends. What its descendants still say then is not waited for.
fn hear(execution: &Execution, until: Instant) -> io::Result<Heard> {
    let outputs: [Option<&OwnedFd>; 2] =
        [&execution.ends.stdout, &execution.ends.stderr].map(Option::as_ref);
    let mut open: Vec<&OwnedFd> = outputs.into_iter().flatten().collect();
    let mut said = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Heard::NoEnd);
        }
        let Some(pidfd) = execution.process.pidfd() else {
            // Before Linux 5.3: its end is that of what it says.
            if open.is_empty() {
                return Ok(Heard::All(text(said)));
            }
            listen(&mut open, None, left, &mut said)?;
            continue;
        };
        if listen(&mut open, Some(pidfd), left, &mut said)? == Seen::End {
            return Ok(Heard::All(text(said)));
        }
    }
}

/// Whether the end of the process was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    End,
    NoEnd,
}

/// Waits once, and takes what there is to hear.
fn listen(
    open: &mut Vec<&OwnedFd>,
    pidfd: Option<std::os::fd::BorrowedFd<'_>>,
    left: Duration,
    said: &mut Vec<u8>,
) -> io::Result<Seen> {
    let mut polled: Vec<_> = open
        .iter()
        .map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN))
        .collect();
    polled.extend(pidfd.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
    let left = PollTimeout::try_from(left + Duration::from_millis(1));
    match poll(&mut polled, left.unwrap_or(PollTimeout::MAX)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let ready: Vec<bool> = polled.iter().map(|fd| fd.any().unwrap_or(false)).collect();
    let mut ready_outputs = ready.iter().copied();
    let mut failure = None;
    open.retain(|fd| {
        if !ready_outputs.next().unwrap_or(false) {
            return true;
        }
        let mut chunk = [0; MOST_OUTPUT];
        match read(fd, &mut chunk) {
            Ok(0) => false,
            Ok(length) => {
                let room = MOST_OUTPUT.saturating_sub(said.len());
                said.extend_from_slice(chunk.get(..length.min(room)).unwrap_or_default());
                true
            }
            Err(Errno::EINTR | Errno::EAGAIN) => true,
            Err(errno) => {
                failure = Some(errno);
                false
            }
        }
    });
    if let Some(errno) = failure {
        return Err(errno.into());
    }
    let ended = pidfd.is_some() && ready.last() == Some(&true);
    // What was said before the end is heard first.
    let any_output = ready.iter().rev().skip(1).any(|&ready| ready);
    Ok(if ended && !any_output {
        Seen::End
    } else {
        Seen::NoEnd
    })
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Looks once. The exit code says how the container is.
///
/// # Errors
/// When its files cannot be read or written.
pub fn probe(root: &Path, folder: PathBuf) -> Result<u8, Error> {
    let Some(mut container) = Container::read(root, store::moved(folder))? else {
        return Ok(exit_code(Verdict::Starting));
    };
    let seen = container.look()?;
    let known = || container.health().map(|health| health.status);
    Ok(exit_code(seen.or_else(known).unwrap_or(Verdict::Starting)))
}

fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Healthy => 0,
        Verdict::Unhealthy => 1,
        Verdict::Starting => 2,
    }
}

/// The monitor's part: when to look.
#[derive(Debug)]
pub(super) struct Schedule {
    command: Vec<OsString>,
    times: Times,
    began: Instant,
    next: Instant,
    looking: Option<std::process::Child>,
}

impl Schedule {
    /// The first look is after the usual time; `command` is what looks.
    pub(super) fn new(times: Times, command: Vec<OsString>) -> Self {
        let began = Instant::now();
        Self {
            command,
            times,
            began,
            next: began + times.until_next(Verdict::Starting, Duration::ZERO),
            looking: None,
        }
    }

    /// How long to wait. `None`: until a look is over.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let is_idle = self.looking.is_none();
        is_idle.then(|| self.next.saturating_duration_since(Instant::now()))
    }

    /// Begins a look that is due, and ends one that is over.
    pub(super) fn go_on(&mut self) {
        if let Some(child) = &mut self.looking {
            let Ok(Some(status)) = child.try_wait() else {
                return;
            };
            let verdict = match status.code() {
                Some(0) => Verdict::Healthy,
                Some(1) => Verdict::Unhealthy,
                _ => Verdict::Starting,
            };
            let wait = self.times.until_next(verdict, self.began.elapsed());
            self.next = Instant::now() + wait;
            self.looking = None;
        }
        if self.next <= Instant::now() {
            let mut command = super::monitor::executable();
            command.args(&self.command);
            // A machine that cannot make a process now can later.
            self.looking = command.spawn().ok();
            self.next = Instant::now() + self.times.interval;
        }
    }
}

impl Times {
    /// Words of a command line, in milliseconds.
    pub(super) fn to_words(self) -> String {
        let times = [self.interval, self.start_period, self.start_interval];
        times.map(|time| time.as_millis().to_string()).join(",")
    }

    /// Those that a monitor needs.
    pub(super) fn from_words(text: &str) -> Option<Self> {
        let mut times = text.split(',').map(|word| word.parse().ok());
        let mut next = || times.next().flatten().map(Duration::from_millis);
        Some(Self {
            interval: next()?,
            start_period: next()?,
            start_interval: next()?,
            timeout: Duration::ZERO,
            retries: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times() -> Times {
        Times::of(&Healthcheck {
            retries: 2,
            start_period: 10_000_000_000,
            ..Healthcheck::default()
        })
    }

    fn after(codes: &[i32], ran: u64) -> Health {
        codes.iter().fold(Health::starting(), |health, &exit_code| {
            let look = Look {
                start: String::new(),
                end: String::new(),
                exit_code,
                output: String::new(),
            };
            health.with(look, &times(), Duration::from_secs(ran))
        })
    }

    #[test]
    fn so_many_failures_in_a_row_make_it_unhealthy() {
        assert_eq!(after(&[1], 20).status, Verdict::Starting);
        assert_eq!(after(&[1, -1], 20).status, Verdict::Unhealthy);
        assert_eq!(after(&[0, 1, 0, 1], 20).status, Verdict::Healthy);
        assert_eq!(after(&[1, 1, 0], 20).status, Verdict::Healthy);
        assert_eq!(after(&[1, 1, 0], 20).failing_streak, 0);
    }

    #[test]
    fn while_it_starts_failures_do_not_count_until_it_was_well() {
        assert_eq!(after(&[1; 9], 5).status, Verdict::Starting);
        assert_eq!(after(&[1; 9], 5).failing_streak, 0);
        assert_eq!(after(&[0, 1, 1], 5).status, Verdict::Unhealthy);
    }

    #[test]
    fn the_last_five_looks_are_kept() {
        let codes = after(&[1, 2, 3, 4, 5, 6, 7], 20).log;
        let codes: Vec<i32> = codes.into_iter().map(|look| look.exit_code).collect();
        assert_eq!(codes, [3, 4, 5, 6, 7]);
    }

    #[test]
    fn looks_come_more_often_while_it_starts() {
        let until = |verdict, ran| times().until_next(verdict, Duration::from_secs(ran));
        assert_eq!(until(Verdict::Starting, 3), Duration::from_secs(5));
        assert_eq!(until(Verdict::Starting, 10), Duration::from_secs(30));
        assert_eq!(until(Verdict::Healthy, 3), Duration::from_secs(30));
        let read = Times::from_words(&times().to_words()).unwrap();
        assert_eq!(
            (read.interval, read.start_period, read.start_interval),
            (
                times().interval,
                times().start_period,
                times().start_interval
            )
        );
    }

    #[test]
    fn commands_are_executed_or_given_to_the_images_shell() {
        let check = |test: &[&str]| Healthcheck {
            test: test.iter().map(|&word| word.to_owned()).collect(),
            ..Healthcheck::default()
        };
        assert_eq!(
            command(&check(&["CMD", "/bin/ok", "x"]), &[]),
            ["/bin/ok", "x"]
        );
        let shell = ["/bin/bash".to_owned(), "-ec".to_owned()];
        assert_eq!(
            command(&check(&["CMD-SHELL", "a b"]), &[]),
            ["/bin/sh", "-c", "a b"]
        );
        assert_eq!(
            command(&check(&["CMD-SHELL", "a"]), &shell),
            ["/bin/bash", "-ec", "a"]
        );
        assert!(!is_wanted(Some(&check(&["NONE"]))));
        assert!(!is_wanted(Some(&check(&[]))));
        assert!(is_wanted(Some(&check(&["CMD", "x"]))));
    }
}
