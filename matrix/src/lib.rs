//! What can be certified: pure data and logic. No I/O, no async, no processes, no clock.
//!
//! In the order in which they are used:
//! [`version`], [`arch`] and [`axis`] are the axes of the matrix, [`cell`] is one point of it;
//! [`matrix_file`] says which cells there should be, [`select`] (over [`glob`]s) which are
//! wanted, and [`plan`] spreads them out; [`modules`] are what their machines load;
//! [`clause`]s are what an engine must do; [`outcome`] is what a case came to, [`event`] how a
//! journal tells it; [`policy`] (with [`waiver`]s) is what is demanded; [`judge`] makes
//! [`results`] of it all, with a [`verdict`] for each cell. [`sabotage`] is what the judge itself
//! is tested by.
//!
//! For the support check: [`requirement`] is what a system must have, [`kconfig`] what a kernel
//! was built with, and [`support`] judges the one by the other.
//! [`kernel`] and [`distro`] are what is known of releases (their files' errors: [`profile`]).

pub mod arch;
pub mod axis;
pub mod cell;
pub mod clause;
pub mod distro;
pub mod event;
pub mod glob;
pub mod judge;
pub mod kconfig;
pub mod kernel;
pub mod matrix_file;
pub mod modules;
pub mod outcome;
pub mod plan;
pub mod policy;
pub mod profile;
pub mod requirement;
pub mod results;
pub mod sabotage;
pub mod select;
pub mod support;
pub mod verdict;
pub mod version;
pub mod waiver;
