//! The cases, area by area.

mod archives;
mod exec;
mod filesystem;
mod hostile;
mod images;
mod isolation;
mod kernel;
mod lifecycle;
mod limits;
mod privileges;
mod security;
mod signals;
mod syscalls;
mod volumes;

use super::case::Case;

/// Every area's cases, in the order in which they are listed and run.
pub(super) const ALL: &[&[Case]] = &[
    kernel::CASES,
    lifecycle::CASES,
    exec::CASES,
    signals::CASES,
    isolation::CASES,
    filesystem::CASES,
    volumes::CASES,
    images::CASES,
    archives::CASES,
    hostile::CASES,
    limits::CASES,
    security::CASES,
    privileges::CASES,
    syscalls::CASES,
];
