//! A run as it is watched: bars on a terminal, plain lines elsewhere; always on stderr.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use matrix::axis::Accelerator;
use matrix::cell::CellId;
use matrix::event::{Entry, Event};
use matrix::judge::suite_of;
use matrix::outcome::{Counts, Outcome};

use super::facts::RunFacts;
use super::recorder::Watcher;
use crate::terminal;

/// The right watcher for this process's stderr.
pub fn watcher(run: &RunFacts, journal: &[Entry]) -> Arc<dyn Watcher> {
    if terminal::is_interactive() {
        Arc::new(Bars::new(run, journal))
    } else {
        Arc::new(Lines::default())
    }
}

/// What an event means to a person, if it is worth a line. `counts` are those of its cell.
fn line(entry: &Entry, counts: &Counts) -> Option<String> {
    let said = match &entry.event {
        Event::Started { .. } | Event::Interrupted => return None,
        Event::Booted {
            boot_ms,
            accelerator,
            kernel_release,
            restored,
        } => match (boot_ms, accelerator) {
            (Some(ms), Accelerator::Kvm | Accelerator::Tcg) => format!(
                "{kernel_release} ready in {}.{} s under {accelerator}{}",
                ms / 1000,
                ms % 1000 / 100,
                if *restored { ", from a snapshot" } else { "" }
            ),
            (None, _) | (_, Accelerator::None) => format!("{kernel_release} ready"),
        },
        Event::Checked { missing } if missing.is_empty() => return None,
        Event::Checked { missing } => {
            let ids: Vec<_> = missing.iter().map(|m| m.requirement.as_str()).collect();
            format!("unsupported: {} absent", ids.join(", "))
        }
        Event::Case { result, .. } => match result.outcome {
            Outcome::Pass | Outcome::Skip => return None,
            Outcome::Fail | Outcome::Flaky | Outcome::Broken => format!(
                "{} {}: {}",
                result.outcome,
                result.id,
                result.detail.lines().next().unwrap_or_default()
            ),
        },
        Event::LeftBehind { names } => format!("left behind by the engine: {}", names.join(", ")),
        Event::Broken { kind, detail } => format!(
            "machine {} failed ({kind}): {}",
            entry.attempt,
            detail.lines().next().unwrap_or_default()
        ),
        Event::Finished if counts.total() == 0 => "done".to_owned(),
        Event::Finished => format!("done: {}", told(counts)),
    };
    Some(format!("{}: {said}", entry.cell))
}

/// Counts without those that are zero.
fn told(counts: &Counts) -> String {
    let some = Outcome::ALL
        .iter()
        .filter(|outcome| counts.of(**outcome) > 0);
    some.map(|outcome| format!("{} {outcome}", counts.of(*outcome)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The outcomes of a cell so far.
type Cases = BTreeMap<String, Outcome>;

/// Adds an event to what is known, and gives the counts of its cell.
fn add(cells: &mut BTreeMap<CellId, Cases>, entry: &Entry) -> Counts {
    let cases = cells.entry(entry.cell.clone()).or_default();
    if let Event::Case { result, .. } = &entry.event {
        cases
            .entry(result.id.clone())
            .and_modify(|outcome| *outcome = outcome.join(result.outcome))
            .or_insert(result.outcome);
    }
    cases.values().copied().collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is shown may be one event behind after a panic; nothing depends on it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line an event.
#[derive(Debug, Default)]
struct Lines {
    cells: Mutex<BTreeMap<CellId, Cases>>,
}

impl Watcher for Lines {
    fn saw(&self, entry: &Entry) {
        let counts = add(&mut lock(&self.cells), entry);
        if let Some(line) = line(entry, &counts) {
            terminal::message(&line);
        }
    }
}

/// A bar over all cases, and below it a line for each cell that runs.
#[derive(Debug)]
struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    cells: BTreeMap<CellId, Cases>,
    running: BTreeMap<CellId, ProgressBar>,
}

impl Bars {
    fn new(run: &RunFacts, journal: &[Entry]) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let expected: usize = (run.plan.cells.iter())
            .map(|cell| {
                let planned = |id: &&String| cell.suites.iter().any(|s| s == suite_of(id));
                run.cases.iter().filter(planned).count()
            })
            .sum();
        let total = all.add(ProgressBar::new(expected as u64));
        total.set_style(style(
            "{elapsed_precise} [{bar:32}] {pos}/{len} cases, {eta} left",
        ));
        total.enable_steady_tick(Duration::from_secs(1));
        let mut shown = Shown::default();
        for entry in journal {
            add(&mut shown.cells, entry);
        }
        let bars = Self {
            all,
            total,
            shown: Mutex::new(shown),
        };
        bars.total.reset_eta();
        bars
    }
}

impl Watcher for Bars {
    fn saw(&self, entry: &Entry) {
        let mut shown = lock(&self.shown);
        let counts = add(&mut shown.cells, entry);
        let done: usize = shown.cells.values().map(BTreeMap::len).sum();
        self.total.set_position(done as u64);
        let is_over = match &entry.event {
            Event::Finished | Event::Interrupted => true,
            Event::Started { .. }
            | Event::Booted { .. }
            | Event::Checked { .. }
            | Event::Case { .. }
            | Event::LeftBehind { .. }
            | Event::Broken { .. } => false,
        };
        if is_over {
            if let Some(bar) = shown.running.remove(&entry.cell) {
                bar.finish_and_clear();
            }
            if shown.running.is_empty() {
                self.total.tick();
            }
        } else {
            let bar = shown.running.entry(entry.cell.clone()).or_insert_with(|| {
                let bar = self.all.add(ProgressBar::new_spinner());
                bar.set_style(style("  {spinner} {prefix}  {wide_msg}"));
                bar.set_prefix(entry.cell.to_string());
                bar.enable_steady_tick(Duration::from_millis(250));
                bar
            });
            bar.set_message(match &entry.event {
                Event::Started { .. } => "starting".to_owned(),
                Event::Case { result, .. } => format!("{}  {}", told(&counts), result.id),
                Event::LeftBehind { .. } => told(&counts),
                Event::Booted { .. } => "checking".to_owned(),
                Event::Checked { .. } => "testing".to_owned(),
                Event::Broken { .. } => "its machine failed".to_owned(),
                Event::Finished | Event::Interrupted => String::new(),
            });
        }
        if let Some(line) = line(entry, &counts) {
            // Fails only when stderr is gone, and nobody watches.
            drop(self.all.println(line));
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.total.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are ours, and the tests draw them.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use matrix::axis::TargetKind;
    use matrix::event::Missing;
    use matrix::outcome::CaseResult;

    use super::*;

    #[test]
    fn only_what_is_worth_a_line_gets_one() {
        let case = |id: &str, outcome, detail: &str| Event::Case {
            result: CaseResult {
                id: id.into(),
                requirement: Vec::new(),
                outcome,
                ms: 1,
                detail: detail.into(),
            },
            repeat: 0,
        };
        let events = [
            Event::Started {
                target: TargetKind::Micro,
            },
            Event::Booted {
                boot_ms: Some(1349),
                restored: false,
                accelerator: Accelerator::Tcg,
                kernel_release: "6.1.0-32".into(),
            },
            Event::Checked {
                missing: Vec::new(),
            },
            case("a.a", Outcome::Pass, ""),
            case("a.b", Outcome::Fail, "expected 1\nsaw 2"),
            Event::Broken {
                kind: "kernel-panic".into(),
                detail: "VFS\n    line".into(),
            },
            Event::Finished,
            Event::Checked {
                missing: vec![Missing {
                    requirement: "kernel.storage.aufs".into(),
                    remedy: "x".into(),
                }],
            },
        ];
        let mut cells = BTreeMap::new();
        let mut text = String::new();
        for (event, seq) in events.into_iter().zip(0..) {
            let entry = Entry {
                seq,
                at_ms: 0,
                cell: "debian-12/6.1/amd64/vfs/v2".parse().unwrap(),
                attempt: 1,
                event,
            };
            let counts = add(&mut cells, &entry);
            text.extend(line(&entry, &counts).map(|line| line + "\n"));
        }
        insta::assert_snapshot!(text, @r"
        debian-12/6.1/amd64/vfs/v2: 6.1.0-32 ready in 1.3 s under tcg
        debian-12/6.1/amd64/vfs/v2: fail a.b: expected 1
        debian-12/6.1/amd64/vfs/v2: machine 1 failed (kernel-panic): VFS
        debian-12/6.1/amd64/vfs/v2: done: 1 pass, 1 fail
        debian-12/6.1/amd64/vfs/v2: unsupported: kernel.storage.aufs absent
        ");
    }

    #[test]
    fn the_templates_of_the_bars_can_be_drawn() {
        for template in [
            "{elapsed_precise} [{bar:32}] {pos}/{len} cases, {eta} left",
            "  {spinner} {prefix}  {wide_msg}",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
