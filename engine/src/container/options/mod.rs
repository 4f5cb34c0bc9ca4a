//! What the flags of `keel run` mean: each value's own type, parsed at the edge.

mod capability;
mod cpus;
mod device;
mod env;
mod files;
mod hosts;
mod log;
mod malformed;
mod mount;
mod mounts;
mod network;
mod restart;
mod security;
mod signal;
mod size;
mod span;
mod ulimit;
mod userns;
mod volumes_from;

pub use capability::{
    CapabilityChange, capabilities_in, default_capabilities, effective_capabilities,
};
pub use cpus::Cpus;
pub use device::Device;
pub use env::{EnvVar, Label};
pub use files::ListFile;
pub use hosts::ExtraHost;
pub use log::{Address, LogConfig, LogDriver, LogOption, SyslogFormat};
pub use malformed::Malformed;
pub use mount::Mount;
pub use mounts::{Absent, Access, CopyUp, Source, Tmpfs, Volume, in_container};
pub use network::Network;
pub use restart::{Asked, RestartPolicy, next_delay};
pub use security::{Seccomp, SecurityOpt};
pub use signal::Signal;
pub use size::{Bytes, SwapLimit};
pub use span::Span;
pub use ulimit::Ulimit;
pub use userns::Userns;
pub use volumes_from::VolumesFrom;
