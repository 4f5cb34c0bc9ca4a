//! The language of Dockerfiles.
//!
//! Pure functions from text to values: [`Source`] cuts a file into instructions, [`words()`] an
//! instruction into words, and [`expand()`] puts variables in; [`ConfigInstruction`] is what one
//! instruction means, and [`Changes`] what several together do to a configuration; [`Ignore`] is a
//! `.dockerignore`. `keel commit --change` is made of these; [`Stages`] is a whole file, and
//! [`Instruction`] what one line of it means to a build.

mod config_instruction;
mod expand;
pub(crate) mod fuzz;
mod healthcheck;
mod ignore;
mod instruction;
mod source;
mod stages;
mod words;

pub use config_instruction::{Changes, Command, ConfigInstruction, GivenCommand, InstructionError};
pub use expand::{ExpandError, expand, expand_document};
pub use ignore::{Ignore, name_matches};
pub use instruction::{Archives, Instruction, Transfer, Values};
pub use source::{Expand, HereDocument, Line, Source, SourceError};
pub use stages::{Stage, Stages, StagesError};
pub use words::{Escape, strings, words};
