//! A container that runs in the background.

use super::case::{Proof, Unproven};
use super::patience::until;
use super::process::Process;
use super::scene::{Scene, succeeded};
use crate::adapter::{Finished, Inspection, Running};
use crate::guest_tool::READY;

/// A container that runs in the background. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Container<'scene> {
    scene: &'scene Scene<'scene>,
    /// Its name, by which every verb reaches it.
    pub(super) name: String,
    /// Its process 1.
    pub(super) process: Process,
}

impl<'scene> Container<'scene> {
    /// `run LINE`, which makes the container `name` and lets it run in the background.
    pub(super) fn start(
        scene: &'scene Scene<'scene>,
        name: String,
        line: Vec<String>,
    ) -> Proof<Self> {
        // From here on it is removed whatever happens.
        let mut container = Self {
            scene,
            name,
            process: Process(0),
        };
        succeeded(&scene.engine("run", line)?)?;
        container.process = Process(container.inspect()?.state.pid);
        Ok(container)
    }

    /// What the engine says about it.
    pub(super) fn inspect(&self) -> Proof<Inspection> {
        let text = self.scene.engine_ok("inspect", [&self.name])?;
        Inspection::parse(text.as_bytes()).map_err(|why| {
            Unproven::Fail(format!(
                "`inspect {}` is no answer of Docker's form: {why}: {text:?}",
                self.name
            ))
        })
    }

    /// Waits until its process, or with `--init` the child of it, shows that it is ready.
    pub(super) fn ready(&self) -> Proof {
        let ended = || !self.process.runs();
        let state = until(&format!("{} is ready", self.name), || {
            let children = self.process.children().unwrap_or_default();
            if shows_ready(self.process) || children.into_iter().any(shows_ready) {
                Some(true)
            } else {
                ended().then_some(false)
            }
        })?;
        if state {
            return Ok(());
        }
        let logs = self.scene.engine("logs", [&self.name])?;
        Err(Unproven::Fail(format!(
            "{} ended at once: {}",
            self.name,
            logs.account()
        )))
    }

    /// `exec OPTIONS NAME COMMAND`, whatever it comes to.
    pub(super) fn exec(&self, options: &[&str], command: &[&str]) -> Proof<Finished> {
        self.scene
            .engine("exec", [options, &[&self.name], command].concat())
    }

    /// `exec NAME COMMAND`, which must succeed; its standard output.
    pub(super) fn exec_says(&self, command: &[&str]) -> Proof<String> {
        let done = self.exec(&[], command)?;
        succeeded(&done)?;
        Ok(done.out())
    }

    /// `exec NAME COMMAND` without waiting for its end: its process, once it shows that it is
    /// ready, and the command that waits for it.
    pub(super) fn exec_beside(&self, command: &[&str]) -> Proof<(Process, Running)> {
        let line = [&[self.name.as_str()], command].concat();
        let running = self.scene.engine_beside("exec", line)?;
        let process = until(&format!("a second process runs in {}", self.name), || {
            self.process
                .neighbours()
                .into_iter()
                .find(|process| shows_ready(*process))
        })?;
        Ok((process, running))
    }

    /// Any verb on it, whatever it comes to.
    pub(super) fn verb(&self, verb: &str, options: &[&str]) -> Proof<Finished> {
        self.scene.engine(verb, [options, &[&self.name]].concat())
    }

    /// Any verb on it, which must succeed; its standard output.
    pub(super) fn verb_says(&self, verb: &str, options: &[&str]) -> Proof<String> {
        let done = self.verb(verb, options)?;
        succeeded(&done)?;
        Ok(done.out())
    }

    /// Waits for its end, and gives its exit status.
    pub(super) fn wait(&self) -> Proof<i32> {
        let text = self.verb_says("wait", &[])?;
        text.trim()
            .parse()
            .map_err(|_| Unproven::Fail(format!("`wait` printed no status but {text:?}")))
    }

    /// Both streams of its log.
    pub(super) fn logs(&self) -> Proof<Finished> {
        let done = self.verb("logs", &[])?;
        succeeded(&done)?;
        Ok(done)
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.scene.remove(&self.name);
    }
}

/// Whether a process of the tool shows that it is where its case wants it.
fn shows_ready(process: Process) -> bool {
    process
        .read("comm")
        .is_ok_and(|name| name.trim_end().as_bytes() == READY.to_bytes())
}
