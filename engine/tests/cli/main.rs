//! Keel's promises, held through its command line and looked at from outside.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod attach;
mod events;
mod exec;
mod filesystem;
mod flags;
mod health;
mod help;
mod isolation;
mod keel;
mod life;
mod lifecycle;
mod limits;
mod listing;
mod logs;
mod restart;
mod run;
mod templates;
mod terminal;
mod upkeep;

use keel::Keel;
