//! Micro targets: a kernel with our own initramfs under QEMU.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use matrix::axis::TargetKind;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::spec::{Deadlines, MicroSpec};
use super::{Promise, Target};
use crate::agent::client::{Client, Command, Running};
use crate::agent::message::{Facts, Mount};
use crate::agent::{AgentError, Lost};
use crate::disk::DiskError;
use crate::initramfs::{self, InitramfsError};
use crate::qemu::snapshot::SnapshotError;
use crate::qemu::{Acceleration, Launch, LaunchError, Machine, Memory, Snapshot};
use crate::trouble::{Trouble, TroubleKind};

/// How long a guest that was asked to may take to switch itself off. Its data is on its disks
/// by then.
const OFF_WITHIN: Duration = Duration::from_secs(15);

/// Why there is no micro target.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The initramfs can't be made.
    #[error(transparent)]
    Initramfs(#[from] InitramfsError),
    /// A disk can't be made.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// QEMU can't be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// Something befell the machine before its agent answered.
    #[error("the machine did not become ready")]
    Trouble(#[source] Trouble),
    /// The agent is there, but of no use.
    #[error("the machine's agent is of no use")]
    Agent(#[source] AgentError),
    /// This process is ending, or has too few resources.
    #[error("the machine's files could not be prepared")]
    Prepare(#[source] io::Error),
    /// It can't be saved, or can't go on from a snapshot.
    #[error("the machine can't be saved or restored")]
    Snapshot(#[from] SnapshotError),
}

/// A micro target that is ready. Dropped, it is killed.
#[derive(Debug)]
pub struct Micro {
    machine: Machine,
    client: Client,
    facts: Facts,
    acceleration: Acceleration,
    boot_time: Duration,
}

impl Micro {
    /// Boots a machine and waits for its agent. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// As soon as it is known that the machine will not become ready: a panic or QEMU's end are
    /// not waited out.
    pub async fn boot(spec: MicroSpec) -> Result<Self, BootError> {
        let acceleration = spec.acceleration.clone();
        let deadlines = spec.deadlines;
        let launch = blocking(move || prepare(&spec)).await?;
        Self::start(launch, acceleration, deadlines, async |_| Ok(())).await
    }

    /// Starts a machine, waits for its agent, and has it `fitted` out.
    pub(super) async fn start(
        launch: Launch,
        acceleration: Acceleration,
        deadlines: Deadlines,
        fitted: impl AsyncFnOnce(&Client) -> Result<(), AgentError>,
    ) -> Result<Self, BootError> {
        let (machine, channel) = Machine::start(launch).await?;
        let (reader, writer) = channel.into_split();
        let client = Client::new(reader, writer, Some(machine.trouble()));
        let ready = async {
            machine
                .go_on()
                .await
                .map_err(|error| went_wrong(&machine, error))?;
            fitted(&client).await.map_err(boot_error)?;
            client.hello().await.map_err(boot_error)
        };
        let facts = tokio::select! {
            facts = ready => facts?,
            kind = overdue(&machine, deadlines) => {
                let excerpt = machine.console_tail();
                return Err(BootError::Trouble(Trouble { kind, excerpt }));
            }
        };
        let boot_time = machine.started().elapsed();
        tracing::info!(
            release = facts.release,
            boot_ms = boot_time.as_millis(),
            acceleration = %acceleration,
            "a micro target is ready"
        );
        Ok(Self {
            machine,
            client,
            facts,
            acceleration,
            boot_time,
        })
    }

    /// From QEMU's start to the agent's first answer.
    pub fn boot_time(&self) -> Duration {
        self.boot_time
    }

    /// Saves it, and ends it.
    pub(super) async fn save(self) -> Result<Snapshot, SnapshotError> {
        let saved = self.machine.save().await;
        // It stands still, so there is nothing to wait for; what it said is looked through later.
        drop(self.machine.end(Duration::ZERO).await);
        saved
    }

    /// What befalls the machine, as soon as it does.
    pub fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.machine.trouble()
    }

    /// QEMU's process id, while it runs.
    pub fn process_id(&self) -> Option<i32> {
        self.machine.process_id()
    }

    /// Mounts a file system in the guest.
    pub async fn mount(&self, mount: Mount) -> Result<(), AgentError> {
        self.client.mount(mount).await
    }

    /// Switches the machine off: its data is written, and its console is complete, when this
    /// returns.
    ///
    /// # Errors
    /// [`AgentError::trouble`] is what the kernel complained of until its very end.
    pub async fn shut_down(self) -> Result<(), AgentError> {
        self.machine.expect_end();
        let answer = self.client.power_off().await;
        match self.machine.end(OFF_WITHIN).await {
            Some(trouble) => Err(AgentError::Lost(Arc::new(Lost::Machine(trouble)))),
            None => answer,
        }
    }
}

/// Does what blocks, on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BootError> + Send + 'static,
) -> Result<T, BootError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| BootError::Prepare(error.into()))?
}

/// Makes the files that a machine is made of.
fn prepare(spec: &MicroSpec) -> Result<Launch, BootError> {
    let initramfs = initramfs::build(spec, &[])?;
    let disks = spec.outfit.make_disks(&spec.scratch)?;
    let console_log = spec.console_log.clone();
    Ok(spec.launch(initramfs, disks, Memory::Own, console_log))
}

/// Why a machine does not go on: what befell it, if that is known.
fn went_wrong(machine: &Machine, error: SnapshotError) -> BootError {
    match machine.trouble().borrow().clone() {
        Some(trouble) => BootError::Trouble(trouble),
        None => BootError::Snapshot(error),
    }
}

fn boot_error(error: AgentError) -> BootError {
    match error.trouble() {
        Some(trouble) => BootError::Trouble(trouble.clone()),
        None => BootError::Agent(error),
    }
}

/// Returns when a booting machine has taken too long, or been silent for too long. What a busy
/// host kept it waiting does not count.
async fn overdue(machine: &Machine, deadlines: Deadlines) -> TroubleKind {
    let heard = machine.heard();
    let mut patience = Patience {
        deadlines,
        started: machine.started(),
        heard: *heard.borrow(),
        waited: Duration::ZERO,
        waited_in_silence: Duration::ZERO,
    };
    loop {
        sleep_until(patience.next()).await;
        let last = *heard.borrow();
        if let Some(kind) = patience.judge(Instant::now(), last, machine.kept_waiting()) {
            return kind;
        }
    }
}

/// The least that a machine must have been kept waiting for its deadlines to move.
const NOTABLE: Duration = Duration::from_millis(100);

/// A boot deadline moves to at most this many times itself.
const AT_MOST: u32 = 5;

/// How long a booting machine is waited for.
struct Patience {
    deadlines: Deadlines,
    started: Instant,
    /// When its console last said something.
    heard: Instant,
    /// How long it has been kept waiting in all, and since it last said something.
    waited: Duration,
    waited_in_silence: Duration,
}

impl Patience {
    /// When there is something to judge.
    fn next(&self) -> Instant {
        self.silence_ends().min(self.boot_ends())
    }

    fn silence_ends(&self) -> Instant {
        self.heard + self.deadlines.silence + self.waited_in_silence
    }

    fn boot_ends(&self) -> Instant {
        let boot = self.deadlines.boot;
        self.started + (boot + self.waited).min(boot * AT_MOST)
    }

    /// What the machine is guilty of, if anything, when its console last said something at
    /// `heard` and it has been kept waiting for `waited` in all.
    fn judge(&mut self, now: Instant, heard: Instant, waited: Duration) -> Option<TroubleKind> {
        let more = waited.saturating_sub(self.waited);
        if more >= NOTABLE {
            self.waited = waited;
            self.waited_in_silence += more;
        }
        if heard != self.heard {
            self.heard = heard;
            self.waited_in_silence = Duration::ZERO;
        }
        if now >= self.boot_ends() {
            let after = self.deadlines.boot;
            return Some(TroubleKind::BootDeadline { after });
        }
        let after = self.deadlines.silence;
        (now >= self.silence_ends()).then_some(TroubleKind::Silent { after })
    }
}

impl Target for Micro {
    fn kind(&self) -> TargetKind {
        TargetKind::Micro
    }

    fn acceleration(&self) -> &Acceleration {
        &self.acceleration
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn exec(&self, command: Command) -> Promise<'_, Running> {
        Box::pin(self.client.exec(command))
    }

    fn put<'a>(&'a self, from: &'a Path, to: &'a str, mode: u32) -> Promise<'a, ()> {
        Box::pin(self.client.put(from, to, mode))
    }

    fn get<'a>(&'a self, from: &'a str, to: &'a Path) -> Promise<'a, ()> {
        Box::pin(self.client.get(from, to))
    }

    fn power_off(self: Box<Self>) -> Promise<'static, ()> {
        Box::pin(self.shut_down())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn patience(started: Instant) -> Patience {
        Patience {
            deadlines: Deadlines {
                boot: 60 * SECOND,
                silence: 20 * SECOND,
            },
            started,
            heard: started,
            waited: Duration::ZERO,
            waited_in_silence: Duration::ZERO,
        }
    }

    #[test]
    fn a_machine_that_could_run_and_says_nothing_is_silent() {
        let start = Instant::now();
        let mut patience = patience(start);
        assert_eq!(patience.next(), start + 20 * SECOND);
        let kind = patience.judge(start + 20 * SECOND, start, Duration::ZERO);
        assert_eq!(kind, Some(TroubleKind::Silent { after: 20 * SECOND }));
    }

    #[test]
    fn a_machine_that_the_host_kept_waiting_is_given_that_time() {
        let start = Instant::now();
        let mut patience = patience(start);
        assert_eq!(
            patience.judge(start + 20 * SECOND, start, 19 * SECOND),
            None
        );
        assert_eq!(patience.next(), start + 39 * SECOND);
        let kind = patience.judge(start + 39 * SECOND, start, 19 * SECOND);
        assert_eq!(kind, Some(TroubleKind::Silent { after: 20 * SECOND }));
    }

    #[test]
    fn a_machine_that_keeps_talking_has_until_its_boot_deadline() {
        let start = Instant::now();
        let mut patience = patience(start);
        let heard = start + 59 * SECOND;
        assert_eq!(
            patience.judge(start + 59 * SECOND, heard, Duration::ZERO),
            None
        );
        let kind = patience.judge(start + 60 * SECOND, heard, Duration::ZERO);
        assert_eq!(kind, Some(TroubleKind::BootDeadline { after: 60 * SECOND }));
    }

    #[test]
    fn even_a_machine_on_a_hopeless_host_is_given_up_in_the_end() {
        let start = Instant::now();
        let mut patience = patience(start);
        let end = start + 300 * SECOND;
        assert_eq!(
            patience.judge(end - SECOND, end - SECOND, 290 * SECOND),
            None
        );
        let kind = patience.judge(end, end, 291 * SECOND);
        assert_eq!(kind, Some(TroubleKind::BootDeadline { after: 60 * SECOND }));
    }
}
