//! What the flags of `keel run` mean: each value's own type, parsed at the edge.

mod capability;
mod cpus;
mod device;
mod env;
mod malformed;
mod mount;
mod mounts;
mod network;
mod security;
mod signal;
mod size;
mod ulimit;
mod userns;
mod volumes_from;

pub use capability::{
    CapabilityChange, capabilities_in, default_capabilities, effective_capabilities,
};
pub use cpus::Cpus;
pub use device::Device;
pub use env::{EnvVar, Label};
pub use malformed::Malformed;
pub use mount::Mount;
pub use mounts::{Absent, Access, CopyUp, Source, Tmpfs, Volume, in_container};
pub use network::Network;
pub use security::{Seccomp, SecurityOpt};
pub use signal::Signal;
pub use size::{Bytes, SwapLimit};
pub use ulimit::Ulimit;
pub use userns::Userns;
pub use volumes_from::VolumesFrom;
