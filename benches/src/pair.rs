//! Two commands in turns.

use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::interval::{Interval, median_interval};

/// What two commands took, run by run: `a` and `b` of one index ran next to each other.
#[derive(Debug, Clone, Default)]
pub struct Pairs {
    /// Seconds of wall clock of the first command.
    pub a: Vec<f64>,
    /// Of the second.
    pub b: Vec<f64>,
}

impl Pairs {
    /// The median of `a / b` over the pairs; `None` for too few pairs.
    pub fn ratio(&self) -> Option<Interval> {
        median_interval(self.a.iter().zip(&self.b).map(|(a, b)| a / b).collect())
    }

    /// `NAME: median of a, median of b, ratio with its interval`, in a line.
    pub fn line(&self, name: &str, a: &str, b: &str) -> String {
        let median =
            |sample: &[f64]| median_interval(sample.to_vec()).map_or(f64::NAN, |i| i.median);
        let ratio = self.ratio().map_or_else(
            || "too few pairs for a ratio".to_owned(),
            |r| format!("ratio {:.3} [{:.3}, {:.3}]", r.median, r.low, r.high),
        );
        format!(
            "{name}: {a} {:.2} ms, {b} {:.2} ms, {ratio} over {} pairs",
            median(&self.a) * 1e3,
            median(&self.b) * 1e3,
            self.a.len(),
        )
    }
}

/// Before each run: what the kernel still does for the last one must neither hinder nor help the
/// next. (After a move between groups of cgroup v1, moves in the next 20 ms or so are several
/// milliseconds faster, whoever makes them.)
const REST: Duration = Duration::from_millis(50);

/// Runs both `pairs` times after some warm-up, in the order a b, b a, a b, …: what drifts
/// during the run meets both alike.
///
/// # Errors
/// A command can't be run, or does not exit with 0.
pub fn interleave(
    pairs: usize,
    mut a: impl FnMut() -> Command,
    mut b: impl FnMut() -> Command,
) -> io::Result<Pairs> {
    for _ in 0..3 {
        seconds(&mut a())?;
        seconds(&mut b())?;
    }
    let mut taken = Pairs::default();
    for pair in 0..pairs {
        if pair % 2 == 0 {
            taken.a.push(seconds(&mut a())?);
            taken.b.push(seconds(&mut b())?);
        } else {
            taken.b.push(seconds(&mut b())?);
            taken.a.push(seconds(&mut a())?);
        }
    }
    Ok(taken)
}

fn seconds(command: &mut Command) -> io::Result<f64> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    std::thread::sleep(REST);
    let begin = Instant::now();
    let status = command.status()?;
    let taken = begin.elapsed().as_secs_f64();
    if status.success() {
        Ok(taken)
    } else {
        Err(io::Error::other(format!("{command:?} ended with {status}")))
    }
}
