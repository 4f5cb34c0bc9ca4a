//! A QEMU that runs, and what befalls it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use matrix::arch::Arch;
use matrix::axis::Accelerator;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::command::{self, UnknownMachine};
use super::console::{Console, Progress};
use super::process::{self, Process};
use super::qmp::{Event, Qmp, QmpError};
use super::snapshot::{Memory, Snapshot, SnapshotError};
use crate::trouble::{Trouble, TroubleKind};

/// How long a kernel may go on describing its trouble. A panicking one takes milliseconds, and
/// an oops that has no end line is over by then.
const DESCRIBED_WITHIN: Duration = Duration::from_secs(1);

/// How much of QEMU's stderr is kept, in bytes.
const MAX_STDERR: usize = 16 * 1024;

/// What QEMU says on stderr when KVM can't go on.
const KVM_INTERNAL_ERROR: &str = "KVM internal error";

/// What a machine is to be.
#[derive(Debug)]
pub struct Launch {
    /// Whose instructions it executes.
    pub arch: Arch,
    /// What executes them.
    pub accelerator: Accelerator,
    /// Its memory, in MiB.
    pub memory_mib: u32,
    /// Its processors.
    pub cpus: u32,
    /// The kernel.
    pub kernel: PathBuf,
    /// More words for the kernel's command line.
    pub kernel_arguments: Vec<String>,
    /// The initramfs.
    pub initramfs: File,
    /// Scratch disks.
    pub disks: Vec<File>,
    /// Where its memory is.
    pub memory: Memory,
    /// Where all that its console shows is written.
    pub console_log: PathBuf,
}

/// Why a machine was not started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No machine of this architecture is known.
    #[error(transparent)]
    Unknown(#[from] UnknownMachine),
    /// A socket or descriptor can't be had.
    #[error(
        "can't prepare the machine's channels: are there enough file descriptors (`ulimit -n`)?"
    )]
    Channel(#[source] io::Error),
    /// The console's log can't be made.
    #[error("can't write the console's log {path}")]
    Log {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// QEMU can't be run.
    #[error("can't run `{program}`: install the package `{package}`")]
    Absent {
        /// The program.
        program: &'static str,
        /// The package.
        package: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A machine that runs. Dropped, it is killed.
#[derive(Debug)]
pub struct Machine {
    process: Process,
    qmp: Arc<Qmp>,
    /// Becomes true when QMP takes commands.
    negotiated: watch::Receiver<bool>,
    memory: Memory,
    console: Arc<Mutex<Console>>,
    trouble: watch::Receiver<Option<Trouble>>,
    heard: watch::Receiver<Instant>,
    /// Whether its end is wanted, and so no trouble.
    ending: Arc<AtomicBool>,
    /// Closes when the machine has ended and its console is written.
    over: watch::Receiver<()>,
    started: Instant,
}

fn lock(console: &Mutex<Console>) -> MutexGuard<'_, Console> {
    console.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A socket pair: this side's end, and the one that QEMU inherits.
pub(super) fn channel() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, OwnedFd::from(theirs)))
}

/// Begins a log, with what the console of a restored machine had shown before.
fn open_log(launch: &Launch) -> Result<File, LaunchError> {
    let open = || {
        let mut log = File::create(&launch.console_log)?;
        if let Memory::Restored(snapshot) = &launch.memory {
            log.write_all(snapshot.console())?;
        }
        Ok(log)
    };
    open().map_err(|source| LaunchError::Log {
        path: launch.console_log.clone(),
        source,
    })
}

impl Machine {
    /// Starts a machine; gives it and the guest channel. Must be called within a tokio runtime.
    pub async fn start(launch: Launch) -> Result<(Self, UnixStream), LaunchError> {
        let (console, console_fd) = channel().map_err(LaunchError::Channel)?;
        let (qmp, qmp_fd) = channel().map_err(LaunchError::Channel)?;
        let (agent, agent_fd) = channel().map_err(LaunchError::Channel)?;
        let log = open_log(&launch)?;
        let (memory, memory_file) = launch.memory.inherit().map_err(LaunchError::Channel)?;
        let line = command::Machine {
            arch: launch.arch,
            accelerator: launch.accelerator,
            memory_mib: launch.memory_mib,
            cpus: launch.cpus,
            kernel: launch.kernel,
            kernel_arguments: launch.kernel_arguments,
            initramfs: launch.initramfs.as_raw_fd(),
            console: console_fd.as_raw_fd(),
            qmp: qmp_fd.as_raw_fd(),
            agent: agent_fd.as_raw_fd(),
            disks: launch.disks.iter().map(AsRawFd::as_raw_fd).collect(),
            memory,
        }
        .command_line()?;
        let mut command = Command::new(line.program);
        command
            .args(&line.arguments)
            // A Ctrl-C is for this process, which ends its machines in its own way.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut fds = vec![console_fd, qmp_fd, agent_fd, launch.initramfs.into()];
        fds.extend(launch.disks.into_iter().map(OwnedFd::from));
        fds.extend(memory_file);
        let started = Instant::now();
        let process::Started {
            process,
            stderr,
            ended,
        } = process::start(command, fds)
            .await
            .map_err(|source| LaunchError::Absent {
                program: line.program,
                package: line.package,
                source,
            })?;
        let stderr = stderr
            .map(|stderr| pipe::Receiver::from_owned_fd(stderr.into()))
            .transpose()
            .map_err(LaunchError::Channel)?;
        let (qmp, events) = Qmp::new(qmp);
        let qmp = Arc::new(qmp);
        let (trouble, troubles) = watch::channel(None);
        let (heard, last_heard) = watch::channel(started);
        let (ends, over) = watch::channel(());
        let (negotiated, takes_commands) = watch::channel(false);
        let machine = Self {
            process,
            qmp: Arc::clone(&qmp),
            negotiated: takes_commands,
            memory: launch.memory,
            console: Arc::default(),
            trouble: troubles,
            heard: last_heard,
            ending: Arc::default(),
            over,
            started,
        };
        let observer = Observer {
            console: machine.console.clone(),
            log,
            stderr_tail: Vec::new(),
            trouble,
            heard,
            ending: machine.ending.clone(),
            powered_off: false,
            negotiated: Some(negotiated),
        };
        tokio::spawn(async move {
            observer.observe(console, stderr, qmp, events, ended).await;
            drop(ends);
        });
        Ok((machine, agent))
    }

    /// What befalls it, as soon as it does. The first trouble stands.
    pub fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.trouble.clone()
    }

    /// When its console last said something; its start, if never.
    pub fn heard(&self) -> watch::Receiver<Instant> {
        self.heard.clone()
    }

    /// The last lines of its console.
    pub fn console_tail(&self) -> String {
        lock(&self.console).tail()
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// QEMU's process id, while it runs.
    pub fn process_id(&self) -> Option<i32> {
        self.process.id()
    }

    /// How long it has been ready to run while a busy host ran others: no fault of its own.
    pub fn kept_waiting(&self) -> Duration {
        self.process_id()
            .map_or(Duration::ZERO, process::kept_waiting)
    }

    /// Saves it, for others to go on from here. It stands still from then on: the one thing that
    /// is left to do with it is to end it.
    ///
    /// # Errors
    /// It was not started with memory that is kept, or QEMU can't.
    pub async fn save(&self) -> Result<Snapshot, SnapshotError> {
        match &self.memory {
            Memory::Kept(file) => Snapshot::save(self.qmp().await?, Arc::clone(file)).await,
            Memory::Own | Memory::Restored(_) => Err(SnapshotError::NotKept),
        }
    }

    /// Has it go on from the snapshot that it was started with. Without one, it runs already.
    ///
    /// # Errors
    /// QEMU can't, or has ended.
    pub async fn go_on(&self) -> Result<(), SnapshotError> {
        match &self.memory {
            Memory::Restored(snapshot) => snapshot.resume(self.qmp().await?).await,
            Memory::Own | Memory::Kept(_) => Ok(()),
        }
    }

    /// QMP, when it takes commands.
    async fn qmp(&self) -> Result<&Qmp, QmpError> {
        let mut negotiated = self.negotiated.clone();
        let is_so = negotiated.wait_for(|negotiated| *negotiated).await;
        is_so
            .map(|_| self.qmp.as_ref())
            .map_err(|_| QmpError::Closed)
    }

    /// From now on, its end is wanted.
    pub fn expect_end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Waits for its end and for the last of its console; kills it after `patience`. Gives what
    /// its kernel complained of, even on the way out.
    pub async fn end(mut self, patience: Duration) -> Option<Trouble> {
        self.expect_end();
        if timeout(patience, self.over.changed()).await.is_err() {
            self.process.kill();
            // Closing is its only change.
            drop(self.over.changed().await);
        }
        self.trouble.borrow().clone()
    }
}

/// Watches a machine, in a task of its own, until it has ended.
struct Observer {
    console: Arc<Mutex<Console>>,
    log: File,
    stderr_tail: Vec<u8>,
    trouble: watch::Sender<Option<Trouble>>,
    heard: watch::Sender<Instant>,
    ending: Arc<AtomicBool>,
    /// Whether QEMU has said that the guest shut itself down.
    powered_off: bool,
    /// None once it is known: without the word that it takes commands, it never will.
    negotiated: Option<watch::Sender<bool>>,
}

impl Observer {
    async fn observe(
        mut self,
        mut console: UnixStream,
        mut stderr: Option<pipe::Receiver>,
        qmp: Arc<Qmp>,
        mut events: mpsc::UnboundedReceiver<Event>,
        mut ended: oneshot::Receiver<String>,
    ) {
        let mut buffer = vec![0; 16 * 1024];
        let mut error_buffer = vec![0; 4 * 1024];
        let mut console_open = true;
        let mut events_open = true;
        let mut description_ends: Option<Instant> = None;
        let mut negotiation = pin!(qmp.negotiate());
        let status = loop {
            tokio::select! {
                read = console.read(&mut buffer), if console_open => {
                    let count = read.unwrap_or(0);
                    console_open = count > 0;
                    match self.hear(buffer.get(..count).unwrap_or_default()) {
                        Progress::Well => {}
                        Progress::Describing => {
                            let end = Instant::now() + DESCRIBED_WITHIN;
                            description_ends.get_or_insert(end);
                        }
                        Progress::Described => self.report_console(),
                    }
                }
                () = until(description_ends) => {
                    description_ends = None;
                    self.report_console();
                }
                count = read_some(&mut stderr, &mut error_buffer) => {
                    if count == 0 {
                        stderr = None;
                    }
                    self.hear_error(error_buffer.get(..count).unwrap_or_default());
                }
                event = events.recv(), if events_open => match event {
                    Some(event) => self.happened(&event, &qmp).await,
                    None => events_open = false,
                },
                answer = &mut negotiation, if self.negotiated.is_some() => {
                    self.negotiate(answer);
                }
                status = &mut ended => {
                    break status.unwrap_or_else(|_| "its status is unknown".to_owned());
                }
            }
        };
        // QEMU is gone, so what is left in these ends.
        while let Ok(count @ 1..) = console.read(&mut buffer).await {
            self.hear(buffer.get(..count).unwrap_or_default());
        }
        if let Some(stderr) = &mut stderr {
            while let Ok(count @ 1..) = stderr.read(&mut error_buffer).await {
                self.hear_error(error_buffer.get(..count).unwrap_or_default());
            }
        }
        while let Ok(event) = events.try_recv() {
            self.powered_off |= is_power_off(&event);
        }
        self.report_console();
        self.report_end(status);
    }

    fn negotiate(&mut self, answer: Result<(), QmpError>) {
        match (answer, self.negotiated.take()) {
            (Ok(()), Some(negotiated)) => drop(negotiated.send_replace(true)),
            (Err(error @ QmpError::Refused { .. }), _) => {
                tracing::warn!(%error, "QEMU takes no commands");
            }
            // It has ended, which is told otherwise.
            (Ok(()), None) | (Err(QmpError::Closed | QmpError::Io(_)), _) => {}
        }
    }

    fn hear(&mut self, bytes: &[u8]) -> Progress {
        if !bytes.is_empty() {
            if let Err(error) = self.log.write_all(bytes) {
                tracing::warn!(%error, "the console's log can't be written");
            }
            self.heard.send_replace(Instant::now());
        }
        lock(&self.console).push(bytes)
    }

    fn hear_error(&mut self, bytes: &[u8]) {
        self.stderr_tail.extend_from_slice(bytes);
        let surplus = self.stderr_tail.len().saturating_sub(MAX_STDERR);
        self.stderr_tail.drain(..surplus);
        if self.stderr().contains(KVM_INTERNAL_ERROR) {
            self.report(TroubleKind::KvmInternalError, self.stderr());
        }
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr_tail).trim().to_owned()
    }

    async fn happened(&mut self, event: &Event, qmp: &Qmp) {
        self.powered_off |= is_power_off(event);
        if event.event == "STOP" {
            let asked = timeout(DESCRIBED_WITHIN, qmp.execute("query-status")).await;
            let status = asked.ok().and_then(Result::ok).unwrap_or_default();
            if status.get("status").and_then(|s| s.as_str()) == Some("internal-error") {
                self.report(TroubleKind::KvmInternalError, self.stderr());
            }
        }
    }

    fn report_console(&self) {
        let trouble = lock(&self.console).trouble();
        if let Some(Trouble { kind, excerpt }) = trouble {
            self.stands(kind, excerpt);
        }
    }

    fn report_end(&self, status: String) {
        let mut excerpt = self.stderr();
        if excerpt.is_empty() {
            excerpt = lock(&self.console).tail();
        }
        let kind = if self.powered_off {
            TroubleKind::PoweredOff
        } else {
            TroubleKind::QemuEnded { status }
        };
        self.report(kind, excerpt);
    }

    /// Reports what befell the machine, unless its end is wanted: then only what its kernel says
    /// counts.
    fn report(&self, kind: TroubleKind, excerpt: String) {
        if !self.ending.load(Ordering::Relaxed) {
            self.stands(kind, excerpt);
        }
    }

    /// The first report stands.
    fn stands(&self, kind: TroubleKind, excerpt: String) {
        self.trouble.send_if_modified(|trouble| {
            let first = trouble.is_none();
            if first {
                *trouble = Some(Trouble { kind, excerpt });
            }
            first
        });
    }
}

/// Whether the guest has switched its machine off. A guest that resets it has panicked.
fn is_power_off(event: &Event) -> bool {
    let reason = event.data.get("reason").and_then(|reason| reason.as_str());
    event.event == "SHUTDOWN" && reason == Some("guest-shutdown")
}

/// Waits for an instant; for ever if there is none.
async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Reads from what may have ended: then, this waits for ever. 0 is the end.
async fn read_some(from: &mut Option<pipe::Receiver>, buffer: &mut [u8]) -> usize {
    match from {
        Some(from) => from.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}
