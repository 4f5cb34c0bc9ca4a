//! Running cases: side by side, each told as soon as it ends, none able to end the others.

use std::fmt::Write as _;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use matrix::outcome::{CaseResult, Counts, Outcome};

use super::case::{Case, Unproven};
use super::event::Event;
use super::interrupt::Interrupt;
use super::lab::{Lab, Workshop};
use super::scene::Scene;
use crate::adapter::{Cli, Finished, InvocationError};

#[cfg(panic = "abort")]
compile_error!("a panicking case must not end the run: build seaworthy with panic = \"unwind\"");

/// What is to be run, and how.
#[derive(Debug)]
pub struct Plan {
    /// The engine under test.
    pub cli: Cli,
    /// Where its images come from; runs against the same engine may share one.
    pub workshop: Arc<Workshop>,
    /// The cases, in their order.
    pub cases: Vec<Case>,
    /// How many at a time; at least one.
    pub jobs: usize,
    /// Shuffles the cases: what depends on their order shows.
    pub seed: Option<u64>,
    /// How often a failing case is run again; one that then passes is flaky.
    pub retries: u32,
    /// Ends the run early.
    pub interrupt: Interrupt,
}

/// Why a suite could not run at all.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The engine could not be named.
    #[error(transparent)]
    Engine(#[from] crate::adapter::IdentityError),
    /// This machine can't be looked at.
    #[error("can't set up the suite: {0}")]
    Lab(Unproven),
    /// Whoever reads the events is gone.
    #[error("can't write the events")]
    Sink(#[source] io::Error),
}

/// Runs the plan. `tell` gets every event, the first before any case starts; when it fails no
/// more is told, no other case begins, and the error comes back when those that had are done.
pub fn run(
    plan: Plan,
    mut tell: impl FnMut(&Event) -> io::Result<()>,
) -> Result<Counts, SuiteError> {
    let Plan {
        cli,
        workshop,
        mut cases,
        jobs,
        seed,
        retries,
        interrupt,
    } = plan;
    if let Some(seed) = seed {
        shuffle(&mut cases, seed);
    }
    let engine = cli.identity()?;
    let shared = Arc::new(Shared {
        lab: Lab::new(cli, workshop).map_err(SuiteError::Lab)?,
        retries,
        interrupt: interrupt.clone(),
    });
    let start = Event::Start {
        engine,
        cases: cases.len(),
        seed,
    };
    tell(&start).map_err(SuiteError::Sink)?;

    let (ended, results) = mpsc::channel();
    let trials = cases
        .iter()
        .map(|&case| trial(case, Arc::clone(&shared), ended.clone()))
        .collect();
    drop(ended);
    // libtest-mimic's own report knows neither skipped nor broken cases: it goes nowhere.
    let arguments = Arguments {
        test_threads: Some(jobs.max(1)),
        logfile: Some("/dev/null".to_owned()),
        ..Arguments::default()
    };
    let (counts, told) = std::thread::scope(|scope| {
        let runner = scope.spawn(move || libtest_mimic::run(&arguments, trials));
        let mut told = Ok(());
        let mut counts = Counts::default();
        for result in results {
            counts = counts + Counts::from_iter([result.outcome]);
            told = told.and_then(|()| tell(&Event::Case(result)));
            if told.is_err() {
                interrupt.set();
            }
        }
        drop(runner.join());
        (counts, told)
    });
    let leftovers = shared.lab.clean_up();
    told.and_then(|()| {
        tell(&Event::End {
            counts,
            leftovers,
            interrupted: interrupt.is_set(),
        })
    })
    .map_err(SuiteError::Sink)?;
    Ok(counts)
}

/// What every trial needs.
struct Shared {
    lab: Lab,
    retries: u32,
    interrupt: Interrupt,
}

/// The case as libtest-mimic runs it.
fn trial(case: Case, shared: Arc<Shared>, ended: Sender<CaseResult>) -> Trial {
    Trial::test(case.id, move || {
        if shared.interrupt.is_set() {
            return Ok(());
        }
        let result = judge(case, &shared);
        if shared.interrupt.is_set() {
            // What was seen may be the interruption: an engine gets the terminal's signal too.
            return Ok(());
        }
        let verdict = match result.outcome {
            Outcome::Pass | Outcome::Skip => Ok(()),
            Outcome::Flaky | Outcome::Fail | Outcome::Broken => Err(Failed::from(&result.detail)),
        };
        // The receiver outlives every trial; were it gone, nobody would miss the result.
        drop(ended.send(result));
        verdict
    })
}

/// Runs the case, and again up to `retries` times while it fails: one that then passes is
/// flaky.
fn judge(case: Case, shared: &Shared) -> CaseResult {
    let start = Instant::now();
    let (mut outcome, mut detail) = observe(case, &shared.lab);
    for _ in 0..shared.retries {
        if outcome != Outcome::Fail {
            break;
        }
        let (again, _) = observe(case, &shared.lab);
        outcome = outcome.join(again);
        if outcome == Outcome::Flaky {
            detail = format!("failed, then passed: {detail}");
        }
    }
    CaseResult {
        id: case.id.to_owned(),
        requirement: case.requirements.iter().map(|&id| id.to_owned()).collect(),
        outcome,
        ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        detail: cut(detail),
    }
}

/// Details are no longer: they quote what an engine said, which may be as much as it likes, and a
/// line of the stream that never ends is a broken machine.
const MAX_DETAIL: usize = 64 << 10;

/// As much of the detail as is told.
fn cut(mut detail: String) -> String {
    let whole = detail.len();
    if whole > MAX_DETAIL {
        let end = (0..=MAX_DETAIL)
            .rev()
            .find(|&at| detail.is_char_boundary(at));
        detail.truncate(end.unwrap_or(0));
        let _ = write!(detail, "… ({whole} bytes)");
    }
    detail
}

/// Runs the case once. A panic is a failure of the case, and ends nothing else.
fn observe(case: Case, lab: &Lab) -> (Outcome, String) {
    let proof = catch_unwind(AssertUnwindSafe(|| (case.run)(&Scene::new(lab, case.id))));
    match proof {
        Ok(Ok(())) => (Outcome::Pass, String::new()),
        Ok(Err(unproven)) => match &unproven {
            Unproven::Fail(detail) => (Outcome::Fail, detail.clone()),
            Unproven::Skip { .. } => (Outcome::Skip, unproven.to_string()),
            Unproven::Broken(detail) => (Outcome::Broken, detail.clone()),
            Unproven::Hung(detail) => {
                let asked = Instant::now();
                let version = lab.cli.honest().run("version", [""; 0], None);
                hung(detail, &version, asked.elapsed())
            }
        },
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            // A case that panics is a bug of the suite: nothing is known of the engine.
            (Outcome::Broken, format!("the case panicked: {text}"))
        }
    }
}

/// An engine tells its version in some 50 ms, also where each instruction is emulated.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Whose fault it is that something did not come: a machine on which the engine can't even tell its
/// `version` at once is starved, and says nothing of the engine.
fn hung(
    detail: &str,
    version: &Result<Finished, InvocationError>,
    took: Duration,
) -> (Outcome, String) {
    match version {
        Err(InvocationError::Hung { seconds, .. }) => {
            let detail = format!(
                "{detail}; `version` does not end in {seconds} s either: the machine is starved"
            );
            (Outcome::Broken, detail)
        }
        Err(InvocationError::Start { .. } | InvocationError::Output { .. }) => {
            let detail = format!("{detail}; and then `version` could not be run at all");
            (Outcome::Broken, detail)
        }
        Ok(_) if took > AT_ONCE => {
            let took = took.as_secs_f32();
            let detail = format!("{detail}; `version` took {took:.1} s: the machine is starved");
            (Outcome::Broken, detail)
        }
        Ok(_) => (Outcome::Fail, detail.to_owned()),
    }
}

/// Fisher and Yates, over `SplitMix64` (Steele, Lea and Flood, 2014): the same order for the
/// same seed on every machine.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    for last in (1..items.len()).rev() {
        let below = u64::try_from(last + 1).unwrap_or(u64::MAX);
        let other = usize::try_from(random() % below).unwrap_or(last);
        items.swap(last, other);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::adapter::Invocation;

    #[test]
    fn what_a_flooding_engine_said_is_cut_and_counted() {
        assert_eq!(cut("as it is".to_owned()), "as it is");
        let flood = "ä".repeat(MAX_DETAIL);
        let cut = cut(format!("x{flood}"));
        assert!(cut.len() < MAX_DETAIL + 40, "{}", cut.len());
        assert!(cut.starts_with("xää") && cut.ends_with("ä… (131073 bytes)"));
    }

    #[test]
    fn an_engine_that_hangs_fails_unless_the_machine_starves_it() {
        let version = |program: &str, deadline| {
            Invocation::new(Path::new(program), ["60"])
                .deadline(deadline)
                .run()
        };
        let answers = version("/bin/echo", Duration::from_secs(60));
        assert_eq!(
            hung("`kill` hangs", &answers, Duration::from_millis(50)),
            (Outcome::Fail, "`kill` hangs".to_owned())
        );
        let starved = version("/bin/sleep", Duration::ZERO);
        for (version, took) in [(&starved, 0), (&answers, 31)] {
            let (outcome, detail) = hung("`kill` hangs", version, Duration::from_secs(took));
            assert_eq!(outcome, Outcome::Broken);
            assert!(detail.ends_with("the machine is starved"), "{detail}");
        }
    }

    proptest! {
        #[test]
        fn a_seed_gives_one_order_and_loses_no_case(seed: u64, length in 0_usize..50) {
            let sorted: Vec<usize> = (0..length).collect();
            let mut order = sorted.clone();
            shuffle(&mut order, seed);
            let mut again = sorted.clone();
            shuffle(&mut again, seed);
            prop_assert_eq!(&order, &again);
            order.sort_unstable();
            prop_assert_eq!(order, sorted);
        }
    }
}
