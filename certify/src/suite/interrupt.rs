//! Ending a run early: cases that have not begun stay undone, those that have are cleaned up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SigSet, Signal};

use super::process::Process;

/// Whether a run is to end. Copies share one answer.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// One that SIGINT, SIGTERM and SIGHUP set, for the whole process. To be called before any other
    /// thread is started, as threads inherit which signals are left to the one that waits for
    /// them; programs that are executed later do not.
    pub fn by_signals() -> nix::Result<Self> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        if !is_ignored(Signal::SIGHUP) {
            signals.add(Signal::SIGHUP);
        }
        signals.thread_block()?;
        let interrupt = Self::default();
        let set = interrupt.clone();
        std::thread::spawn(move || {
            while signals.wait().is_err() {}
            set.set();
        });
        Ok(interrupt)
    }

    /// Sets it, for good.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was set.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether this process was started with the signal ignored: `nohup` asks for that, and a signal
/// that is waited for would come nevertheless.
fn is_ignored(signal: Signal) -> bool {
    let ignored = Process::own().mask("SigIgn").unwrap_or(0);
    ignored >> (signal as i32 - 1) & 1 == 1
}
