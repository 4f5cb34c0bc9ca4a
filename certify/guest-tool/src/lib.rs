//! The tool that runs inside the containers of the suites: one static program with many
//! small applets, so that a case needs no distribution's files and nothing is downloaded.
//!
//! An applet is called by the name of the program (a link `/bin/stat` to `seaworthy`) or as
//! `seaworthy guest-tool stat`. It prints its answer and exits 0, or names the error
//! (`EROFS: write /etc/x`) on standard error and exits 1. `try` runs several applets and
//! prints one line for each: `ok`, `ok ANSWER`, or the error's name alone, so that a case can
//! ask for exactly the refusal that the specification gives.
//!
//! It needs neither the standard library nor, for its system calls, a C library, so that the
//! program of its own can do without both (decision 0062).
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod applet;
mod basic;
mod child;
mod directory;
mod errno;
mod files;
mod hunt;
mod net;
mod probe;
mod process;
mod remove;
mod signals;
mod stream;
mod sys;
mod together;

pub use applet::{Applet, AppletError, applets, dispatch, main};
pub use signals::READY;
pub use stream::complain;
pub use sys::exit;
