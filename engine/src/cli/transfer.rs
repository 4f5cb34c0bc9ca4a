//! Images on their way, told to whoever watches: a line for each layer that is done, and on a
//! terminal one more that says how far things are.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::images::size;
use super::terminal;
use crate::image::digest::Digest;
use crate::image::registry::{Progress, Step};

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Warnings only.
    Warnings,
    /// What becomes of each layer.
    Layers,
}

/// How often the line that says how far things are is written anew.
const INTERVAL: Duration = Duration::from_millis(100);

/// Tells on standard error.
#[derive(Debug)]
pub(super) struct Watch {
    told: Told,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    on_terminal: bool,
    /// Of all layers whose size is known, and of what came or went.
    bytes: u64,
    moved: u64,
    written: Option<Instant>,
}

impl Watch {
    pub(super) fn new(told: Told) -> Self {
        Self {
            told,
            state: Mutex::new(State {
                on_terminal: told == Told::Layers && terminal::is_watched(),
                bytes: 0,
                moved: 0,
                written: None,
            }),
        }
    }
}

impl Progress for Watch {
    fn step(&self, layer: &Digest, step: Step<'_>) {
        if self.told == Told::Warnings {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.count(step);
        if let Some(words) = words(step) {
            state.line(&format!("{}: {words}", layer.short()));
        }
        state.status();
    }

    fn warn(&self, text: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.line(&format!("keel: warning: {text}"));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.written.is_some() {
            terminal::status("");
        }
    }
}

impl State {
    fn count(&mut self, step: Step<'_>) {
        match step {
            Step::Waiting { bytes } | Step::Compressed { bytes } => self.bytes += bytes,
            Step::Moved(bytes) => self.moved += bytes,
            Step::Present
            | Step::Downloaded
            | Step::Unpacked
            | Step::Uploaded
            | Step::Mounted(_) => {}
        }
    }

    fn line(&mut self, text: &str) {
        if self.written.take().is_some() {
            terminal::status("");
        }
        terminal::message(text);
    }

    fn status(&mut self) {
        let recent = self.written.is_some_and(|then| then.elapsed() < INTERVAL);
        if !self.on_terminal || recent || self.bytes == 0 {
            return;
        }
        terminal::status(&format!("{} of {}", size(self.moved), size(self.bytes)));
        self.written = Some(Instant::now());
    }
}

/// Docker's words for what is worth a line.
fn words(step: Step<'_>) -> Option<String> {
    Some(match step {
        Step::Present => "Already exists".to_owned(),
        Step::Downloaded => "Download complete".to_owned(),
        Step::Unpacked => "Pull complete".to_owned(),
        Step::Uploaded => "Pushed".to_owned(),
        Step::Mounted(from) => format!("Mounted from {}", from.familiar_name()),
        Step::Waiting { .. } | Step::Moved(_) | Step::Compressed { .. } => return None,
    })
}
