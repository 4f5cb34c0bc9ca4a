//! Waiting for what no file descriptor announces: the files of `/proc` and of control groups.

use std::time::{Duration, Instant};

use super::case::{Proof, Unproven};

/// How long anything may take. Only a failing case ever waits this long; it is generous as a
/// guest without hardware virtualisation is up to fifty times slower.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks until `seen` has something, first often, then every 20 ms.
pub(super) fn until<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> Proof<T> {
    let end = Instant::now() + PATIENCE;
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(found) = seen() {
            return Ok(found);
        }
        if Instant::now() > end {
            return Err(Unproven::Hung(format!(
                "waited {} s in vain until {what}",
                PATIENCE.as_secs()
            )));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
