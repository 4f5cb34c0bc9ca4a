//! Kernel series: what mainline gave each, as far as it decides what a container engine can do.
//!
//! A profile is context for a person (which release made what possible); verdicts rest on
//! [`crate::support`] alone.

use serde::Deserialize;

use crate::profile::{ProfileError, read, version};
use crate::version::KernelVersion;

const FILE: (&str, &str) = (
    "mainline.toml",
    include_str!("../data/kernels/mainline.toml"),
);

/// A mainline series that matters to container engines.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelSeries {
    /// The series (`6.1`).
    #[serde(deserialize_with = "version")]
    pub series: KernelVersion,
    /// Whether kernel.org kept or keeps it for years.
    #[serde(default)]
    pub longterm: bool,
    /// What engines can do from here on.
    #[serde(default)]
    pub brings: Vec<String>,
    /// What ended here, as far as an engine or its checks notice.
    #[serde(default)]
    pub ends: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    kernel: Vec<KernelSeries>,
}

/// Every series of the compiled-in data, from the oldest to the newest.
///
/// # Errors
/// None in a build that passed its tests: the file is part of it.
pub fn series() -> Result<Vec<KernelSeries>, ProfileError> {
    let (name, text) = FILE;
    let mut all = read::<File>(name, text)?.kernel;
    all.sort_by_key(|kernel| kernel.series);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn the_series_are_these() {
        let mut list = String::new();
        for kernel in series().unwrap() {
            let longterm = if kernel.longterm { " (longterm)" } else { "" };
            writeln!(list, "{}{longterm}", kernel.series).unwrap();
            for brings in kernel.brings {
                writeln!(list, "  + {brings}").unwrap();
            }
            for ends in kernel.ends {
                writeln!(list, "  - {ends}").unwrap();
            }
        }
        insta::assert_snapshot!(list);
    }
}
