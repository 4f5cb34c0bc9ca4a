//! How a restored machine becomes one of its own.

use std::io;
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};

use super::message::Wake;
use crate::sys;

/// Sets the clock, which stood still while the machine was a snapshot, and gives the random
/// number generator a seed that the snapshot's other machines do not have.
pub(super) fn wake(wake: &Wake) -> io::Result<()> {
    let now = TimeSpec::from_duration(Duration::from_nanos(wake.unix_ns));
    clock_settime(ClockId::CLOCK_REALTIME, now)?;
    sys::random::reseed(wake.seed)
}
