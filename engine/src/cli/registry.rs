//! What all verbs share that speak to registries.

use crate::image::reference::{DEFAULT_REGISTRY, Reference};
use crate::image::registry::Settings;

/// How registries are spoken to.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Transport {
    /// Speak to the registry without TLS. One on this machine may always be spoken to so; others
    /// may also be named in `KEEL_INSECURE_REGISTRIES`
    #[arg(long)]
    insecure: bool,
}

impl Transport {
    /// The settings for `registry`.
    pub(super) fn settings(self, registry: &str) -> Settings {
        let mut settings = settings();
        if self.insecure {
            settings.insecure.push(registry.to_owned());
        }
        settings
    }
}

/// What the environment says.
pub(super) fn settings() -> Settings {
    Settings::from_environment(|name| std::env::var_os(name))
}

/// A registry as people write it: `host[:port]`, also in an address such as `https://host/v1/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server(pub(super) String);

/// A text that names no registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no registry: write `host.example.org` or `host:port`")]
pub(super) struct NoServer(String);

impl std::str::FromStr for Server {
    type Err = NoServer;

    fn from_str(text: &str) -> Result<Self, NoServer> {
        let bare = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .unwrap_or(text);
        let host = bare.split('/').next().unwrap_or_default();
        if matches!(
            host,
            DEFAULT_REGISTRY | "index.docker.io" | "registry-1.docker.io"
        ) {
            return Ok(Self(DEFAULT_REGISTRY.to_owned()));
        }
        match format!("{host}/name").parse::<Reference>() {
            Ok(reference) if reference.registry() == host => Ok(Self(host.to_owned())),
            _ => Err(NoServer(text.to_owned())),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self(DEFAULT_REGISTRY.to_owned())
    }
}

/// As people read it.
pub(super) fn shown(server: &str) -> &str {
    if server == DEFAULT_REGISTRY {
        "https://index.docker.io/v1/"
    } else {
        server
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_known_by_its_host_however_it_is_written() {
        let host = |text: &str| text.parse::<Server>().map(|server| server.0);
        for (text, expected) in [
            ("docker.io", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("localhost:5000", "localhost:5000"),
            ("https://r.example.org/", "r.example.org"),
            ("http://r.example.org:80/v2/", "r.example.org:80"),
        ] {
            assert_eq!(host(text).as_deref(), Ok(expected));
        }
        for wrong in ["", "host", "a b.c", "../x.y", "https://"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }
}
