//! The support check's hands: what is read and tried out, for [`matrix::support`] to judge.
//!
//! [`input`] reads what a user names (a configuration, a kernel image, a package), [`running`]
//! looks at the system that this runs on, and [`text`] tells a person what came of it.

pub mod input;
mod probe;
pub mod running;
pub mod text;
