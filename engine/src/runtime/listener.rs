//! Handing the notifications of a filter over to an agent (`linux.seccomp.listenerPath`).

use std::io::IoSlice;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use oci_spec::runtime::LinuxSeccomp;
use serde::Serialize;
use serde_json::Value;

use super::plan::setup;
use super::{Error, StateOf};

/// Where they go to.
#[derive(Debug)]
pub(super) struct ListenerPlan {
    path: PathBuf,
    metadata: Option<String>,
}

/// The specification's container process state.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'static str,
    fds: [&'static str; 1],
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: Value,
}

impl ListenerPlan {
    /// The profile's, if it names one.
    pub(super) fn of(profile: Option<&LinuxSeccomp>) -> Option<Self> {
        let profile = profile?;
        Some(Self {
            path: profile.listener_path().clone()?,
            metadata: profile.listener_metadata().clone(),
        })
    }

    /// Sends the descriptor of a process's filter, with what the container is.
    pub(super) fn send(
        &self,
        filter: &OwnedFd,
        pid: u32,
        state: StateOf<'_>,
        status: &'static str,
    ) -> Result<(), Error> {
        let failed = |error: std::io::Error| {
            setup(
                format!(
                    "hand the filter's notifications over to {}",
                    self.path.display()
                ),
                "see that the agent of linux.seccomp.listenerPath listens",
                error,
            )
        };
        let state = serde_json::from_str(&state(status, pid));
        let state = state.map_err(|error| failed(error.into()))?;
        let message = ProcessState {
            oci_version: "1.2.0",
            fds: ["seccompFd"],
            pid,
            metadata: self.metadata.as_deref(),
            state,
        };
        let message = serde_json::to_vec(&message).map_err(|error| failed(error.into()))?;
        let agent = UnixStream::connect(&self.path).map_err(failed)?;
        let sent = sendmsg::<()>(
            agent.as_raw_fd(),
            &[IoSlice::new(&message)],
            &[ControlMessage::ScmRights(&[filter.as_raw_fd()])],
            MsgFlags::MSG_NOSIGNAL,
            None,
        );
        match sent {
            Ok(length) if length == message.len() => Ok(()),
            Ok(_) => Err(failed(std::io::ErrorKind::WriteZero.into())),
            Err(errno) => Err(failed(errno.into())),
        }
    }
}
