//! The language of Dockerfiles.
//!
//! Pure functions from text to values: [`Source`] cuts a file into instructions, [`words()`] an
//! instruction into words, and [`expand()`] puts variables in; [`ConfigInstruction`] is what one
//! instruction means, and [`Changes`] what several together do to a configuration; [`Ignore`] is a
//! `.dockerignore`. `keel commit --change` is made of these.

mod config_instruction;
mod expand;
pub(crate) mod fuzz;
mod healthcheck;
mod ignore;
mod source;
mod words;

pub use config_instruction::{Changes, Command, ConfigInstruction, InstructionError};
pub use expand::{ExpandError, expand};
pub use ignore::Ignore;
pub use source::{Expand, HereDocument, Line, Source, SourceError};
pub use words::{Escape, strings, words};
