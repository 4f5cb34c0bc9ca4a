//! Shows a fetch as it goes: bars on a terminal, a line for each event that matters elsewhere.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use vm_images::progress::{Event, Progress};

use super::megabytes;
use crate::terminal;

/// The one watcher of a fetch.
pub(super) struct Watcher {
    /// None where nothing may be redrawn.
    area: Option<MultiProgress>,
    bars: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Watcher {
    pub(super) fn new(area: Option<MultiProgress>) -> Self {
        Self {
            area,
            bars: Mutex::default(),
        }
    }

    fn say(&self, text: &str) {
        match &self.area {
            Some(area) => area.suspend(|| terminal::message(text)),
            None => terminal::message(text),
        }
    }

    /// Does something with the bar of a file, if there are bars.
    fn with_bar(&self, file: &str, act: impl FnOnce(&ProgressBar)) {
        let Some(area) = &self.area else {
            return;
        };
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bars.entry(file.to_owned()).or_insert_with(|| {
            let bar = ProgressBar::new(0).with_message(file.to_owned());
            area.add(bar.with_style(style()))
        });
        act(bar);
    }
}

fn style() -> ProgressStyle {
    // The template is a constant; a test draws it.
    ProgressStyle::with_template("{wide_msg} {bytes:>10} of {total_bytes:<10} {bar:24}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Watcher {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Started { file, done, total } => {
                self.with_bar(file, |bar| {
                    bar.set_length(*total);
                    bar.set_position(*done);
                });
                if self.area.is_none() {
                    let more = if *done > 0 {
                        format!(", {} are here", megabytes(*done))
                    } else {
                        String::new()
                    };
                    self.say(&format!("fetching {file} ({}{more})", megabytes(*total)));
                }
            }
            Event::Advanced { file, done } => self.with_bar(file, |bar| bar.set_position(*done)),
            Event::Retrying { file, why, pause } => {
                let seconds = pause.as_secs_f32();
                self.say(&format!("{file}: {why}; trying again in {seconds:.1} s"));
            }
            Event::Finished { file } => self.with_bar(file, ProgressBar::finish_and_clear),
            Event::Unpacking { release } => self.say(&format!("unpacking {release}")),
            Event::Warning(text) => self.say(&format!("warning: {text}")),
        }
    }
}
