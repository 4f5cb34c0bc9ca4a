//! Control groups: which hierarchies this system has, and the group of one container.
//!
//! [`detect`] → [`Cgroup::create`] (folders, limits, device rules) → [`Cgroup::attach`] →
//! [`Cgroup::stats`], [`Cgroup::freeze`], [`Cgroup::kill_all`] → [`Cgroup::remove`].
//! Version 1 has a folder for each controller, version 2 one for all.

mod delegate;
mod devices;
mod error;
pub(in crate::runtime) mod fuzz;
mod grace;
mod group;
mod hierarchies;
mod lifetime;
mod path;
mod settings;
mod stats;
mod tree;

pub use delegate::delegated;
pub use error::Error;
pub use grace::begin_grace_period;
pub use group::Cgroup;
pub use hierarchies::{Hierarchies, Hierarchy, Mode, detect};
pub use lifetime::Freezer;
pub use path::CgroupPath;
pub use stats::Stats;
