//! Why no image was built.

use super::transfer::TransferError;
use crate::container::{self, CommitError};
use crate::dockerfile::{InstructionError, StagesError};
use crate::image::load::LoadError;
use crate::image::store::StoreError;
use crate::runtime::ExitStatus;
use crate::storage::StorageError;

/// Why no image was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The file has no meaning.
    #[error("`{file}` is no Dockerfile")]
    File {
        /// As the user named it.
        file: String,
        /// What is wrong with it.
        #[source]
        source: StagesError,
    },
    /// An instruction failed.
    #[error("{file}:{line}: `{text}` failed")]
    Step {
        /// As the user named it.
        file: String,
        /// From 1.
        line: usize,
        /// The instruction, or its beginning.
        text: String,
        /// Why.
        #[source]
        source: Box<StepError>,
    },
    /// `--target`.
    #[error("there is no stage `{0}`: `--target` takes a name behind `AS`, or a number from 0 on")]
    NoStage(String),
    /// `--label`.
    #[error("a label is refused")]
    Label(#[source] InstructionError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The image cannot be recorded.
    #[error(transparent)]
    Record(#[from] LoadError),
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It has no meaning.
    #[error(transparent)]
    Instruction(#[from] InstructionError),
    /// The platform is not that of the image.
    #[error("the image is for {found}, not for {wanted}")]
    Platform {
        /// What `--platform` asks for.
        wanted: String,
        /// What the image says.
        found: String,
    },
    /// `--from=scratch`.
    #[error("`scratch` has no files to copy")]
    FromScratch,
    /// A base image's instruction for builds on top.
    #[error("the image's `ONBUILD {text}` failed")]
    Trigger {
        /// The instruction.
        text: String,
        /// Why.
        #[source]
        source: Box<StepError>,
    },
    /// The command failed.
    #[error("the command {}", ended(*status))]
    Command {
        /// How it ended.
        status: ExitStatus,
        /// What it said, if nobody has seen it yet.
        said: Vec<u8>,
    },
    /// Files cannot be brought in.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// A container or tree cannot be made.
    #[error(transparent)]
    Container(#[from] container::Error),
    /// What a command changed cannot be packed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A layer cannot be stored.
    #[error(transparent)]
    Layer(#[from] LoadError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The storage cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The command's output has no place.
    #[error("cannot redirect the command's output")]
    Output(#[source] std::io::Error),
}

impl StepError {
    /// What the failed command said that nobody has seen yet.
    pub fn said(&self) -> &[u8] {
        match self {
            Self::Command { said, .. } => said,
            Self::Trigger { source, .. } => source.said(),
            Self::Instruction(_)
            | Self::Platform { .. }
            | Self::FromScratch
            | Self::Transfer(_)
            | Self::Container(_)
            | Self::Commit(_)
            | Self::Layer(_)
            | Self::Store(_)
            | Self::Storage(_)
            | Self::Output(_) => &[],
        }
    }
}

fn ended(status: ExitStatus) -> String {
    match status {
        ExitStatus::Exited(code) => format!("ended with exit code {code}"),
        ExitStatus::Signalled(signal) => format!("was ended by signal {signal}"),
    }
}
