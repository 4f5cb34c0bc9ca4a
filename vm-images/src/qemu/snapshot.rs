//! A machine as it was at one moment, from which any number of others go on.
//!
//! Its memory stays in a file without a name, which every machine that goes on from it maps
//! privately: nothing is copied until it is written to. So only the state of its devices is
//! saved as a stream, some hundred KiB (QEMU's migration with `x-ignore-shared`, since 4.0). A
//! socket carries it, which every version of QEMU takes.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::command;
use super::machine::channel;
use super::qmp::{Qmp, QmpError};

/// The most that the devices' state is taken to be, in bytes.
const MAX_STATE: u64 = 64 << 20;

/// How long saving or restoring may take; it usually takes 50 ms.
const DONE_WITHIN: Duration = Duration::from_secs(30);

/// How long is waited before it is asked again whether it is done.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(5);

/// A machine as it was. Its memory is given back with the last machine that goes on from it.
#[derive(Debug)]
pub struct Snapshot {
    memory: Arc<File>,
    state: Vec<u8>,
    /// What its console had shown.
    console: Vec<u8>,
}

impl Snapshot {
    /// The same with what its console had shown, which begins the log of every machine that goes
    /// on from it.
    #[must_use]
    pub fn after_console(self, console: Vec<u8>) -> Self {
        Self { console, ..self }
    }

    /// What its console had shown.
    pub(super) fn console(&self) -> &[u8] {
        &self.console
    }

    /// Saves the machine behind `qmp`, whose memory is in that file. It stands still from then on.
    pub(super) async fn save(qmp: &Qmp, memory: Arc<File>) -> Result<Self, SnapshotError> {
        let state = timeout(DONE_WITHIN, save(qmp))
            .await
            .map_err(|_| SnapshotError::TooLong)??;
        Ok(Self {
            memory,
            state,
            console: Vec::new(),
        })
    }

    /// Has the machine behind `qmp`, which was started with this memory, go on from here.
    pub(super) async fn resume(&self, qmp: &Qmp) -> Result<(), SnapshotError> {
        timeout(DONE_WITHIN, restore(qmp, &self.state))
            .await
            .map_err(|_| SnapshotError::TooLong)?
    }
}

/// Why a machine is not saved, or does not go on from a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The machine's memory is its own.
    #[error("the machine was not started to be saved")]
    NotKept,
    /// QEMU refuses.
    #[error(transparent)]
    Qemu(#[from] QmpError),
    /// The machine's state can't be passed on.
    #[error("the machine's state can't be read or written")]
    Io(#[from] io::Error),
    /// It takes too long.
    #[error("QEMU was not done within {} s", DONE_WITHIN.as_secs())]
    TooLong,
    /// It ended otherwise than it should.
    #[error("QEMU ended it as `{status}`{}", .reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    Failed {
        /// As `query-migrate` gives it.
        status: String,
        /// QEMU's own words, if it has any.
        reason: Option<String>,
    },
}

/// Where a machine's memory is.
#[derive(Debug)]
pub enum Memory {
    /// Nowhere else: it is gone with the machine.
    Own,
    /// In this file, so that the machine can be saved.
    Kept(Arc<File>),
    /// As it was in a machine that was saved, and which was made of the same parts.
    Restored(Arc<Snapshot>),
}

impl Memory {
    /// A file for memory of `mib` MiB, without a name.
    ///
    /// # Errors
    /// The system has none left.
    pub fn to_keep(mib: u32) -> io::Result<Self> {
        let file = File::from(memfd_create(c"guest-memory", MFdFlags::MFD_CLOEXEC)?);
        file.set_len(u64::from(mib) << 20)?;
        Ok(Self::Kept(Arc::new(file)))
    }

    /// What the command line says of it, and the file for QEMU to inherit, if it is in one.
    pub(super) fn inherit(&self) -> io::Result<(command::Memory, Option<OwnedFd>)> {
        let (file, said): (_, fn(RawFd) -> command::Memory) = match self {
            Self::Own => return Ok((command::Memory::Own, None)),
            Self::Kept(file) => (file, command::Memory::Kept),
            Self::Restored(snapshot) => (&snapshot.memory, command::Memory::Restored),
        };
        let file = OwnedFd::from(file.try_clone()?);
        Ok((said(file.as_raw_fd()), Some(file)))
    }
}

/// Has QEMU stop the machine and send the state of its devices.
async fn save(qmp: &Qmp) -> Result<Vec<u8>, SnapshotError> {
    let (ours, theirs) = channel()?;
    let uri = prepare(qmp, theirs).await?;
    qmp.execute_with("migrate", uri).await?;
    let mut state = Vec::new();
    ours.take(MAX_STATE).read_to_end(&mut state).await?;
    completed(qmp).await?;
    Ok(state)
}

/// Sends QEMU the state of its devices, which it waits for before the machine runs.
async fn restore(qmp: &Qmp, state: &[u8]) -> Result<(), SnapshotError> {
    let (mut ours, theirs) = channel()?;
    let uri = prepare(qmp, theirs).await?;
    qmp.execute_with("migrate-incoming", uri).await?;
    ours.write_all(state).await?;
    ours.shutdown().await?;
    completed(qmp).await
}

/// Has QEMU leave the memory where it is, and gives it its end of a socket; the argument by which
/// commands take that.
async fn prepare(qmp: &Qmp, theirs: OwnedFd) -> Result<Value, QmpError> {
    let memory_stays = json!({ "capability": "x-ignore-shared", "state": true });
    let capabilities = json!({ "capabilities": [memory_stays] });
    qmp.execute_with("migrate-set-capabilities", capabilities)
        .await?;
    qmp.give("state", theirs.as_fd()).await?;
    Ok(json!({ "uri": "fd:state" }))
}

/// Waits until QEMU is done.
async fn completed(qmp: &Qmp) -> Result<(), SnapshotError> {
    while !is_completed(&qmp.execute("query-migrate").await?)? {
        sleep(BETWEEN_QUESTIONS).await;
    }
    Ok(())
}

/// What an answer to `query-migrate` says.
fn is_completed(answer: &Value) -> Result<bool, SnapshotError> {
    let text = |key| answer.get(key).and_then(Value::as_str);
    match text("status").unwrap_or("none") {
        "completed" => Ok(true),
        // The last byte is sent before the last step is taken.
        "none" | "setup" | "active" | "device" => Ok(false),
        other => Err(SnapshotError::Failed {
            status: other.to_owned(),
            reason: text("error-desc").map(str::to_owned),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_qemu_says_of_a_failure_is_told() {
        assert!(!is_completed(&json!({ "status": "active" })).unwrap());
        assert!(is_completed(&json!({ "status": "completed" })).unwrap());
        let failed = |answer| is_completed(&answer).unwrap_err().to_string();
        insta::assert_snapshot!(failed(json!({ "status": "failed", "error-desc": "Unknown ramblock \"pc.ram\"" })), @r#"QEMU ended it as `failed`: Unknown ramblock "pc.ram""#);
        insta::assert_snapshot!(failed(json!({ "status": "cancelled" })), @"QEMU ended it as `cancelled`");
    }
}
