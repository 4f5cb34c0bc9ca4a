//! The language of Dockerfiles, as far as it says what an image's configuration is to be.
//!
//! Pure functions from text to values: [`words()`] cuts lines, [`expand()`] puts variables in,
//! [`ConfigInstruction`] is what one instruction means, and [`Changes`] what several together do to
//! a configuration. `keel commit --change` is made of these.

mod config_instruction;
mod expand;
mod healthcheck;
mod words;

pub use config_instruction::{Changes, Command, ConfigInstruction, InstructionError};
pub use expand::{ExpandError, expand};
pub use words::{Escape, strings, words};
