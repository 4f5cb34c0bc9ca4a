//! One cell from its first machine to its last event.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use matrix::cell::Cell;
use matrix::event::Event;
use matrix::judge::suite_of;
use matrix::outcome::CaseResult;
use matrix::results::EngineIdentity;
use matrix::sabotage::Sabotage;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use vm_images::agent::client::{Chunk, Command};

use super::folder::name;
use super::history::History;
use super::recorder::Recorder;
use super::suite_stream::{Line, SuiteStream, Tested};
use super::system_check::SystemCheck;
use crate::durable;
use crate::journal::JournalError;
use crate::provision::{Breakage, Machine, Provisioner};

/// A machine that breaks is replaced once.
const MACHINES: u32 = 2;

/// No check writes more.
const MAX_CHECK: usize = 4 << 20;

/// What is too long.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the support check of a machine.
    pub check: Duration,
    /// Without a word from a running suite: longer than any case may take.
    pub silence: Duration,
    /// For a machine to end in an orderly way.
    pub power_off: Duration,
}

impl Default for Patience {
    /// Cases have deadlines of their own; these are for when the suite runner itself is stuck.
    fn default() -> Self {
        Self {
            check: Duration::from_secs(120),
            silence: Duration::from_secs(600),
            power_off: Duration::from_secs(20),
        }
    }
}

/// Why a run can't go on. What befalls a machine is never one of these.
#[derive(Debug, thiserror::Error)]
pub enum CellError {
    /// What happened can't be recorded.
    #[error("the run can't go on without its journal")]
    Journal(#[from] JournalError),
    /// A cell's evidence can't be stored.
    #[error("{} can't be written", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Either kind of failure, while a machine is used.
enum Stop {
    Broken(Breakage),
    Run(CellError),
}

impl<T: Into<CellError>> From<T> for Stop {
    fn from(error: T) -> Self {
        Self::Run(error.into())
    }
}

impl From<Breakage> for Stop {
    fn from(breakage: Breakage) -> Self {
        Self::Broken(breakage)
    }
}

/// What one call of the suite runner is asked for.
struct Asked {
    /// As its option says it.
    only: String,
    /// The cases that this means.
    cases: Vec<String>,
    /// 1 where they are run once more.
    repeat: u32,
}

impl Asked {
    /// These cases, each by its name.
    fn alone(cases: Vec<String>, repeat: u32) -> Self {
        Self {
            only: cases.join(","),
            cases,
            repeat,
        }
    }

    /// The result of a case, which must be one of those asked for.
    fn meant(&self, result: CaseResult) -> Result<CaseResult, Breakage> {
        if self.cases.contains(&result.id) {
            return Ok(result);
        }
        let detail = format!(
            "it told of case `{}`, which it was not asked for",
            result.id
        );
        Err(Breakage::new("suite-stream", detail))
    }
}

/// What one cell needs to run.
#[derive(Clone, Copy)]
pub(super) struct CellRun<'a> {
    pub(super) cell: &'a Cell,
    pub(super) engine: &'a EngineIdentity,
    pub(super) sabotage: Option<&'a Sabotage>,
    /// All cases of the harness.
    pub(super) cases: &'a [String],
    /// The cell's folder, which exists.
    pub(super) folder: &'a std::path::Path,
    pub(super) provisioner: &'a dyn Provisioner,
    pub(super) recorder: &'a Recorder,
    pub(super) patience: Patience,
}

impl CellRun<'_> {
    /// Runs what is left of the cell; `history` is kept up to date.
    pub(super) async fn run(&self, history: &mut History) -> Result<(), CellError> {
        while !history.is_finished {
            let attempt = history.attempts + 1;
            let target = self.cell.target;
            self.record(attempt, history, Event::Started { target })?;
            match self.attempt(attempt, history).await {
                Ok(()) => self.record(attempt, history, Event::Finished)?,
                Err(Stop::Run(error)) => return Err(error),
                Err(Stop::Broken(Breakage { kind, detail })) => {
                    self.record(attempt, history, Event::Broken { kind, detail })?;
                    if history.breakages >= MACHINES {
                        self.record(attempt, history, Event::Finished)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The user ended the run while a machine of the cell was at work.
    pub(super) fn interrupted(&self, history: &mut History) -> Result<(), CellError> {
        self.record(history.attempts, history, Event::Interrupted)?;
        Ok(())
    }

    fn record(
        &self,
        attempt: u32,
        history: &mut History,
        event: Event,
    ) -> Result<(), JournalError> {
        history.add(&self.recorder.record(&self.cell.id, attempt, event)?);
        Ok(())
    }

    /// One machine, from its making to its end.
    async fn attempt(&self, attempt: u32, history: &mut History) -> Result<(), Stop> {
        let machine = self
            .provisioner
            .provision(self.cell, attempt, self.folder)
            .await?;
        let booted = Event::Booted {
            boot_ms: machine.boot_ms,
            accelerator: machine.target.acceleration().accelerator,
            kernel_release: machine.target.facts().release.clone(),
            restored: machine.restored,
        };
        self.record(attempt, history, booted)?;
        let mut missing = machine.missing.clone();
        missing.extend(
            self.check(&machine)
                .await?
                .missing_for(self.cell.storage, self.cell.target),
        );
        let is_fit = missing.is_empty();
        self.record(attempt, history, Event::Checked { missing })?;
        if is_fit {
            self.cases(attempt, history, &machine).await?;
        }
        // The cell is done: a machine that then won't end orderly is ended anyway. What its kernel
        // complained of meanwhile stands beside the verdicts.
        let ended = timeout(self.patience.power_off, machine.target.power_off()).await;
        if let Ok(Err(error)) = ended {
            if error.trouble().is_some() {
                let Breakage { kind, detail } = error.into();
                self.record(attempt, history, Event::Broken { kind, detail })?;
            }
        }
        drop(machine.keep);
        Ok(())
    }

    /// The support check, whose document is kept.
    async fn check(&self, machine: &Machine) -> Result<SystemCheck, Stop> {
        let command = Command::new(machine.seaworthy.as_str()).args([
            "check",
            "--running",
            "--format",
            "json",
        ]);
        let running = machine.target.exec(command).await.map_err(Breakage::from)?;
        let captured = timeout(self.patience.check, running.capture(MAX_CHECK))
            .await
            .map_err(|_| Breakage::new("check-hung", "the support check did not end"))?
            .map_err(Breakage::from)?;
        // 1 is the answer no, which is an answer: what is missing stands in the document.
        let check: SystemCheck = serde_json::from_slice(&captured.stdout).map_err(|error| {
            let said = String::from_utf8_lossy(&captured.stderr);
            let status = captured.exit.status;
            let detail = format!("the support check gave no document ({status}: {error}): {said}");
            Breakage::new("check-failed", detail)
        })?;
        self.keep(name::CHECK, &captured.stdout)?;
        Ok(check.consistent()?)
    }

    /// All cases that are left, and those that failed once more.
    async fn cases(
        &self,
        attempt: u32,
        history: &mut History,
        machine: &Machine,
    ) -> Result<(), Stop> {
        let expected: Vec<String> = (self.cases.iter())
            .filter(|id| self.cell.suites.iter().any(|suite| suite == suite_of(id)))
            .cloned()
            .collect();
        let remaining = history.remaining(&expected);
        if remaining.len() == expected.len() {
            let asked = Asked {
                only: self.cell.suites.join(","),
                cases: expected,
                repeat: 0,
            };
            self.suite(attempt, history, machine, &asked).await?;
        } else if !remaining.is_empty() {
            let asked = Asked::alone(remaining, 0);
            self.suite(attempt, history, machine, &asked).await?;
        }
        let failed = history.to_repeat();
        if !failed.is_empty() {
            let asked = Asked::alone(failed, 1);
            self.suite(attempt, history, machine, &asked).await?;
        }
        Ok(())
    }

    /// One call of the suite runner; every case goes into the journal as it ends.
    async fn suite(
        &self,
        attempt: u32,
        history: &mut History,
        machine: &Machine,
        asked: &Asked,
    ) -> Result<(), Stop> {
        let mut command = Command::new(machine.seaworthy.as_str())
            .args(["suite", "run", "--format", "json", "--system-is-fit"])
            .args(["--engine", self.engine.adapter()])
            .args(["--storage-driver", self.cell.storage.name()])
            .args(["--engine-root", machine.engine_root.as_str()])
            .args(["--only", asked.only.as_str()]);
        if let Some(sabotage) = self.sabotage {
            command = command.args(["--sabotage", sabotage.fault.as_str()]);
        }
        if let Some(engine) = &machine.engine {
            command = command.args(["--engine-path", engine]);
        }
        let path = self.folder.join(name::EVENTS);
        let store = |source| CellError::Store {
            path: path.clone(),
            source,
        };
        let mut raw = tokio::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .await
            .map_err(store)?;
        let mut running = machine.target.exec(command).await.map_err(Breakage::from)?;
        let mut stream = SuiteStream::default();
        loop {
            let chunk = timeout(self.patience.silence, running.next())
                .await
                .map_err(|_| {
                    let seconds = self.patience.silence.as_secs();
                    Breakage::new("suite-silent", format!("no case ended for {seconds} s"))
                })?
                .map_err(Breakage::from)?;
            match chunk {
                None => break,
                Some(Chunk::Error(bytes)) => stream.said(&bytes),
                Some(Chunk::Output(bytes)) => {
                    raw.write_all(&bytes).await.map_err(store)?;
                    raw.flush().await.map_err(store)?;
                    for line in stream.take(&bytes)? {
                        match line {
                            Line::Case(result) => {
                                let result = asked.meant(result)?;
                                let repeat = asked.repeat;
                                self.record(attempt, history, Event::Case { result, repeat })?;
                            }
                            Line::Start { engine } => self.is_the_engine(&engine)?,
                            Line::End {
                                leftovers: names,
                                interrupted: false,
                            } if !names.is_empty() => {
                                self.record(attempt, history, Event::LeftBehind { names })?;
                            }
                            // What was cut off had no time to tidy up.
                            Line::End { .. } => {}
                        }
                    }
                }
            }
        }
        Ok(stream.finish(running.exit().map(|exit| exit.status))?)
    }

    /// The certificate speaks of one binary, honest or with one fault: a file that changed during
    /// the run is another.
    fn is_the_engine(&self, tested: &Tested) -> Result<(), Breakage> {
        let Tested { name, sha256 } = tested;
        if (name, sha256) == (&self.engine.name, &self.engine.sha256) {
            return Ok(());
        }
        let detail = format!(
            "the machine has engine {name} with SHA-256 {sha256}, and the run began with {} with {}: was it built anew meanwhile?",
            self.engine.name, self.engine.sha256,
        );
        Err(Breakage::new("other-engine", detail))
    }

    fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), CellError> {
        let path = self.folder.join(name);
        durable::write(&path, bytes).map_err(|source| CellError::Store { path, source })
    }
}
