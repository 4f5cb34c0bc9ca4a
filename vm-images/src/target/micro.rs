//! Micro targets: a kernel with our own initramfs under QEMU.

use std::io;
use std::path::Path;
use std::time::Duration;

use matrix::axis::TargetKind;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use super::spec::{Deadlines, MicroSpec};
use super::{Promise, Target};
use crate::agent::AgentError;
use crate::agent::client::{Client, Command, Running};
use crate::agent::message::{Facts, Mount};
use crate::disk::{self, DiskError};
use crate::initramfs::{self, InitramfsError};
use crate::qemu::{Acceleration, Launch, LaunchError, Machine};
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
    /// This process is ending.
    #[error("the machine's files could not be prepared")]
    Prepare(#[source] io::Error),
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
        let prepared = tokio::task::spawn_blocking(move || prepare(spec)).await;
        let launch = prepared.map_err(|error| BootError::Prepare(error.into()))??;
        let (machine, channel) = Machine::start(launch).await?;
        let (reader, writer) = channel.into_split();
        let client = Client::new(reader, writer, Some(machine.trouble()));
        let facts = tokio::select! {
            facts = client.hello() => facts.map_err(boot_error)?,
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
    pub async fn shut_down(self) -> Result<(), AgentError> {
        self.machine.expect_end();
        let answer = self.client.power_off().await;
        self.machine.end(OFF_WITHIN).await;
        answer
    }
}

/// Makes the files that a machine is made of.
fn prepare(spec: MicroSpec) -> Result<Launch, BootError> {
    let initramfs = initramfs::build(&spec)?;
    let disks = spec
        .disks
        .iter()
        .map(|disk| disk::create(&spec.scratch, disk.filesystem, disk.size_mib))
        .collect::<Result<_, _>>()?;
    Ok(Launch {
        arch: spec.kernel.arch,
        accelerator: spec.acceleration.accelerator,
        memory_mib: spec.memory_mib,
        cpus: spec.cpus,
        kernel: spec.kernel.boot,
        kernel_arguments: spec.kernel_arguments,
        initramfs,
        disks,
        console_log: spec.console_log,
    })
}

fn boot_error(error: AgentError) -> BootError {
    match error.trouble() {
        Some(trouble) => BootError::Trouble(trouble.clone()),
        None => BootError::Agent(error),
    }
}

/// Returns when a booting machine has taken too long, or been silent for too long.
async fn overdue(machine: &Machine, deadlines: Deadlines) -> TroubleKind {
    let mut heard = machine.heard();
    let silent = async {
        loop {
            match timeout(deadlines.silence, heard.changed()).await {
                Ok(Ok(())) => {}
                // It has ended, which is reported as such.
                Ok(Err(_)) => std::future::pending().await,
                Err(_) => {
                    return TroubleKind::Silent {
                        after: deadlines.silence,
                    };
                }
            }
        }
    };
    tokio::select! {
        kind = silent => kind,
        () = sleep_until(machine.started() + deadlines.boot) => TroubleKind::BootDeadline {
            after: deadlines.boot,
        },
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
