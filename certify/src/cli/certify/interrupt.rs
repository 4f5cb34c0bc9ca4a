//! Ctrl-C: the first ends the run cleanly, the second at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use crate::terminal;

/// Watches for signals while it lives.
#[derive(Debug)]
pub(super) struct Watching(AbortHandle);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Makes `stop` true at the first signal that asks for an end, and ends the process at the
/// second. The kernel then ends the guests, which are this process's children.
///
/// # Errors
/// Signals can't be watched.
pub(super) fn watch(stop: watch::Sender<bool>) -> std::io::Result<Watching> {
    let mut signals = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];
    let task: JoinHandle<()> = tokio::spawn(async move {
        any(&mut signals).await;
        terminal::message("ending; what is done is kept (once more: at once)");
        // Fails only when the run is over.
        let _run_is_over = stop.send(true);
        any(&mut signals).await;
        end_at_once();
    });
    Ok(Watching(task.abort_handle()))
}

async fn any([interrupt, terminate, hangup]: &mut [Signal; 3]) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

#[expect(
    clippy::exit,
    reason = "asked for twice: the journal is on the disk, and no destructor is worth waiting for"
)]
fn end_at_once() {
    std::process::exit(3);
}
