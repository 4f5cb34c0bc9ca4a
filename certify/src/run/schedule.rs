//! Many cells at once, each kind of machine as many at a time as it bears.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use matrix::axis::TargetKind;
use matrix::cell::Cell;
use matrix::event::Entry;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::cell::{CellError, CellRun, Patience};
use super::facts::RunFacts;
use super::folder::cell_path;
use super::history::History;
use super::queue::Queue;
use super::recorder::Recorder;
use crate::provision::Provisioner;
use crate::provision::snapshots::Base;

/// What makes the machines of each kind.
pub type Fleet = BTreeMap<TargetKind, Arc<dyn Provisioner>>;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every cell is done.
    Whole,
    /// The user ended it; `--resume` goes on.
    Interrupted,
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A cell can't be recorded.
    #[error("the run had to stop at cell `{cell}`; `--resume` goes on from there")]
    Cell {
        /// The cell.
        cell: String,
        /// Why.
        #[source]
        source: CellError,
    },
    /// A folder for a cell can't be made.
    #[error("{} can't be made", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No machine of that kind can be made.
    #[error(
        "cell `{cell}` needs a machine of kind `{kind}`, which this version can't make: leave it out (`--skip target={kind}`)"
    )]
    NoProvisioner {
        /// The cell.
        cell: String,
        /// The kind.
        kind: TargetKind,
    },
}

/// A run that is ready to start.
#[derive(Clone)]
pub struct Schedule {
    /// What is to be run.
    pub run: Arc<RunFacts>,
    /// The run folder.
    pub folder: PathBuf,
    /// What makes the machines.
    pub fleet: Fleet,
    /// Where everything is recorded.
    pub recorder: Recorder,
    /// How long is waited.
    pub patience: Patience,
}

impl Schedule {
    /// Runs every cell that `journal` does not show as finished. When `stop` becomes true,
    /// machines are ended at once, and what was done is kept.
    ///
    /// # Errors
    /// What happens can't be recorded, or a cell needs a machine that nothing makes.
    pub async fn run(
        self,
        journal: &[Entry],
        stop: watch::Receiver<bool>,
    ) -> Result<Ended, RunError> {
        let mut queues: BTreeMap<TargetKind, (Arc<dyn Provisioner>, Queue)> = BTreeMap::new();
        for cell in &self.run.plan.cells {
            let history = History::of(&cell.id, journal);
            if history.is_finished {
                continue;
            }
            let Some(makes) = self.fleet.get(&cell.target) else {
                return Err(RunError::NoProvisioner {
                    cell: cell.id.to_string(),
                    kind: cell.target,
                });
            };
            let (_, queue) = (queues.entry(cell.target))
                .or_insert_with(|| (Arc::clone(makes), Queue::default()));
            queue.add(cell.clone(), history);
        }
        let mut tasks = JoinSet::new();
        for (makes, queue) in queues.into_values() {
            let queue = Arc::new(queue);
            for _ in 0..makes.at_a_time().max(1) {
                let (queue, makes) = (Arc::clone(&queue), Arc::clone(&makes));
                tasks.spawn(self.clone().lane(queue, makes, stop.clone()));
            }
        }
        let mut ended = Ended::Whole;
        while let Some(done) = tasks.join_next().await {
            // A task that panicked is a bug; its panic goes on here. Dropping the set ends the
            // machines of all others.
            match done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))? {
                Ended::Whole => {}
                Ended::Interrupted => ended = Ended::Interrupted,
            }
        }
        Ok(ended)
    }

    /// One cell after the other, until none is left.
    async fn lane(
        self,
        queue: Arc<Queue>,
        makes: Arc<dyn Provisioner>,
        stop: watch::Receiver<bool>,
    ) -> Result<Ended, RunError> {
        let mut last = None;
        while let Some((cell, history)) = queue.next(last.as_ref()) {
            if *stop.borrow() {
                return Ok(Ended::Interrupted);
            }
            let ended = self.cell(&cell, history, makes.as_ref(), stop.clone());
            if ended.await? == Ended::Interrupted {
                return Ok(Ended::Interrupted);
            }
            last = Some(Base::of(&cell));
        }
        Ok(Ended::Whole)
    }

    async fn cell(
        &self,
        cell: &Cell,
        mut history: History,
        makes: &dyn Provisioner,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Ended, RunError> {
        let folder = cell_path(&self.folder, &cell.id);
        make_folder(&folder)?;
        let cell_run = CellRun {
            cell,
            engine: &self.run.engine,
            sabotage: self.run.sabotage.as_ref(),
            cases: &self.run.cases,
            folder: &folder,
            provisioner: makes,
            recorder: &self.recorder,
            patience: self.patience,
        };
        let ended = tokio::select! {
            ended = cell_run.run(&mut history) => ended.map(|()| Ended::Whole),
            () = stopped(&mut stop) => Ok(Ended::Interrupted),
        };
        ended
            .and_then(|ended| match ended {
                Ended::Interrupted => cell_run.interrupted(&mut history).map(|()| ended),
                Ended::Whole => Ok(ended),
            })
            .map_err(|source| failed(cell, source))
    }
}

impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schedule")
            .field("folder", &self.folder)
            .field("kinds", &self.fleet.keys())
            .finish_non_exhaustive()
    }
}

fn failed(cell: &Cell, source: CellError) -> RunError {
    RunError::Cell {
        cell: cell.id.to_string(),
        source,
    }
}

fn make_folder(path: &Path) -> Result<(), RunError> {
    std::fs::create_dir_all(path).map_err(|source| RunError::Folder {
        path: path.to_owned(),
        source,
    })
}

/// Ends when `stop` becomes true; never if whoever could say so has gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}
