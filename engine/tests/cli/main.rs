//! Keel's promises, held through its command line and looked at from outside.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod attach;
#[path = "../scene/btrfs.rs"]
mod btrfs;
mod build;
mod commit;
mod copying;
mod crash;
mod events;
mod exec;
mod filesystem;
mod flags;
mod health;
mod help;
mod images;
mod isolation;
mod keel;
mod life;
mod lifecycle;
mod limits;
mod listing;
mod logs;
mod parity;
mod restart;
mod rootless;
mod run;
mod saving;
mod templates;
mod terminal;
mod upkeep;
mod volumes;

use keel::Keel;
