//! Registries: images in and out over HTTP (distribution-spec 1.1).
//!
//! From the bottom: [`Settings`] come from the environment; an [`Endpoint`] says where a registry
//! is; `http` sends a request, follows redirects, waits and tries again; `auth` answers challenges
//! with what [`DockerConfig`] knows; a [`Client`] speaks to one registry; [`pull()`], [`push()`] and
//! [`search()`] are what people want of it.
//!
//! Nothing that a registry says is believed: sizes are bounded, digests checked before anything
//! becomes visible, and neither credentials nor requests go where it points without a rule
//! (decision 0076).

mod auth;
mod challenge;
mod client;
mod docker_config;
mod download;
mod endpoint;
mod error;
mod http;
mod paced;
mod progress;
mod pull;
mod push;
mod search;
mod settings;
mod trust;

pub use client::Client;
pub use docker_config::{Credentials, CredentialsError, DockerConfig, Kept};
pub use endpoint::Endpoint;
pub use error::{Mismatch, RegistryError};
pub use progress::{Progress, Silent, Step};
pub use pull::{News, PullError, Pulled, pull};
pub use push::{PushError, Pushed, push};
pub use search::{Found, Search, search};
pub use settings::{Patience, Retry, Settings};
