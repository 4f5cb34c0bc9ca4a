//! Volumes: folders that outlive containers, called by names.

mod name;
mod store;

pub use name::{VolumeName, VolumeNameError};
pub use store::{Naming, Record, Shared, Users, Volume, VolumeError, Volumes};
