//! Why something asked of an agent did not happen.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::frame::FrameError;
use super::message::Refusal;
use crate::trouble::Trouble;

/// Why something asked of an agent did not happen.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The agent answered that it can't: an answer about the operation, not a failure of the
    /// machine.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The connection was lost, or never usable.
    #[error("can't reach the machine's agent")]
    Lost(#[source] Arc<Lost>),
    /// A file arrived with other bytes than were sent.
    #[error("{path} was damaged on its way: its SHA-256 is {found}, the sender's {expected}")]
    Damaged {
        /// The file.
        path: String,
        /// What the sender says.
        expected: String,
        /// What arrived.
        found: String,
    },
    /// A file on this side can't be read or written.
    #[error("can't {operation} {path}")]
    Local {
        /// `read`, `write`, …
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A request does not fit into a frame.
    #[error(
        "the request is {bytes} bytes long, more than the {limit} that a frame can hold: pass long input through a file"
    )]
    TooLong {
        /// As JSON.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A program gave more output than the caller wants to keep.
    #[error("`{program}` wrote more than {limit} bytes of output")]
    TooMuchOutput {
        /// The program.
        program: String,
        /// The limit.
        limit: usize,
    },
}

/// Why a connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Something befell the machine.
    #[error("something befell the machine")]
    Machine(#[source] Trouble),
    /// The agent closed the connection.
    #[error("the agent closed the connection")]
    Closed,
    /// Nothing came for too long.
    #[error("the agent said nothing for {seconds} s")]
    Silent {
        /// How long.
        seconds: u64,
    },
    /// The transport failed.
    #[error("the connection failed")]
    Io(#[source] io::Error),
    /// What came is no frame.
    #[error("the connection is out of step")]
    Frame(#[source] FrameError),
    /// What came is a frame, but makes no sense.
    #[error("the agent broke the protocol: {0}")]
    Protocol(String),
    /// The agent speaks another version.
    #[error(
        "the agent speaks version {theirs} of the protocol, this program version {ours}: use the same `seaworthy` on both sides"
    )]
    Version {
        /// The agent's.
        theirs: u32,
        /// This program's.
        ours: u32,
    },
    /// This side has ended the connection.
    #[error("this side ended the connection")]
    Ended,
}

impl AgentError {
    /// What befell the machine, when that is the reason.
    pub fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Lost(lost) => match lost.as_ref() {
                Lost::Machine(trouble) => Some(trouble),
                Lost::Closed
                | Lost::Silent { .. }
                | Lost::Io(_)
                | Lost::Frame(_)
                | Lost::Protocol(_)
                | Lost::Version { .. }
                | Lost::Ended => None,
            },
            Self::Refused(_)
            | Self::Damaged { .. }
            | Self::Local { .. }
            | Self::TooLong { .. }
            | Self::TooMuchOutput { .. } => None,
        }
    }
}
